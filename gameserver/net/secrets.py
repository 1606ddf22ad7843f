"""The node's own secrets: from the settings, or, in development only, made once and kept in the data folder.

Nodes that share a data folder and start at the same time end up with the same secret: a file is made under another
name and linked into place, which only one of them can do.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from gameserver.config import Settings
from gameserver.errors import ConfigError, StartError

LEAST_CHARACTERS: Final = 32
PLACEHOLDERS: Final = (
    "change",
    "default",
    "example",
    "insecure",
    "password",
    "placeholder",
    "replace",
    "secret",
    "your",
)
HOW_TO_MAKE_ONE: Final = 'python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def signing_key(settings: Settings) -> str:
    """Signs tokens. Raises ConfigError, StartError."""
    return _secret(settings, "GAMESERVER_AUTH_SIGNING_KEY", settings.auth.signing_key, "signing_key")


def admin_token(settings: Settings) -> str:
    """Opens the admin API. Raises ConfigError, StartError."""
    return _secret(settings, "GAMESERVER_ADMIN_TOKEN", settings.admin.token, "admin_token")


def _secret(settings: Settings, name: str, value: str, file_name: str) -> str:
    if settings.node.env == "production":
        _require_strong(name, value)
    return value or _kept(settings.node.data_dir / file_name)


def _require_strong(name: str, value: str) -> None:
    if not value:
        raise ConfigError(f"{name} is not set: production needs a secret of its own; make one with {HOW_TO_MAKE_ONE}")
    if len(value) < LEAST_CHARACTERS or len(set(value)) < 8 or _is_placeholder(value):
        raise ConfigError(
            f"{name} can be guessed: expected at least {LEAST_CHARACTERS} random characters; "
            f"make them with {HOW_TO_MAKE_ONE}"
        )


def _is_placeholder(value: str) -> bool:
    """Whether it is words for people to read: random text of this length hardly ever begins or ends with one."""
    text = value.lower()
    return any(text.startswith(word) or text.endswith(word) for word in PLACEHOLDERS)


def _kept(path: Path) -> str:
    try:
        if not path.exists():
            _make(path)
        value = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise StartError(f"the development secret {path} cannot be read or made: {error}") from error
    if not value:
        raise StartError(f"the development secret {path} is empty; delete it, and a new one will be made")
    return value


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(LEAST_CHARACTERS) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another node was quicker; its secret is the one
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
