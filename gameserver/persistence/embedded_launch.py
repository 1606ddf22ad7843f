"""As whom an embedded server runs, and how it is bound to die with us: a command line that goes before its own.

PostgreSQL refuses to run as root. Started by root it runs as the owner of its data, `nobody` for new data; and since
the checkout may lie in a folder that only root may enter, it keeps one capability, DAC_OVERRIDE, to get there. The
alternatives are worse: opening the user's folders to everyone, or copying 70 MB of programs elsewhere.
`no_setuid_fixup` makes access(2), by which initdb looks for its programs, count that capability too.

setpriv comes with util-linux, which every Debian has. Where it or the capability is missing, the next simpler way is
tried; PostgreSQL has to pass a probe, so that the error is ours and says what to do.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gameserver.errors import StartError
from gameserver.persistence.embedded_process import ENVIRONMENT

PROBE_DEADLINE_S: Final = 10.0
UNPRIVILEGED_USER: Final = "nobody"
KEEP_DAC_OVERRIDE: Final = (
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--bounding-set=-all,+dac_override",
)


def server_user(data: Path) -> int:
    """The uid that PostgreSQL runs as: our own, or, if we are root, that of the data's owner or of `nobody`."""
    if os.geteuid() != 0:
        return os.geteuid()
    owner = data.stat().st_uid if data.exists() else 0
    return owner or pwd.getpwnam(UNPRIVILEGED_USER).pw_uid


def dying_with_us(death_signal: signal.Signals) -> list[str]:
    """Goes before a command that may run as whoever we are."""
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    prefix = [setpriv, f"--pdeathsig={death_signal.name}"] if setpriv else []
    return prefix if prefix and _works([*prefix, "true"]) else []


def as_user(uid: int, death_signal: signal.Signals, program: Path, folder: Path) -> list[str]:
    """Goes before a command that must not run as root and needs to write to `folder`.

    Raises StartError if no way leads from `uid` to the program and the folder.
    """
    if os.geteuid() != 0:
        return dying_with_us(death_signal)
    for prefix in _ways_from_root(uid, death_signal):
        if _works([*prefix, "sh", "-c", 'test -w "$0" && "$1" --version', str(folder), str(program)]):
            return prefix
    raise StartError(
        f"PostgreSQL does not run as root, and as user {uid} it cannot reach {program} and {folder}. "
        "Run this as an ordinary user, or in a folder that everyone may enter, "
        "or set DATABASE_URL to a PostgreSQL 15 or later."
    )


def _ways_from_root(uid: int, death_signal: signal.Signals) -> Iterator[list[str]]:
    setpriv = shutil.which("setpriv", path=ENVIRONMENT["PATH"])
    if setpriv is None:
        return
    group = pwd.getpwuid(uid).pw_gid
    become = [setpriv, f"--reuid={uid}", f"--regid={group}", "--clear-groups", f"--pdeathsig={death_signal.name}"]
    yield [*become, "--no-new-privs", *KEEP_DAC_OVERRIDE]
    yield become


def _works(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
