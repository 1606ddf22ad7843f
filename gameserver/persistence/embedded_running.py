"""Finding the embedded PostgreSQL of a game that runs already, for commands that only want to read its journal."""

from pathlib import Path
from urllib.parse import quote

from gameserver.persistence.embedded_postgres import SUPERUSER


def running_postgres_url(data_dir: Path) -> str | None:
    """The URL of the server that another run holds in `data_dir`; None if there is none, or none that we may use."""
    record = data_dir / "postgres.socket"
    try:
        sockets = record.readlink() if record.is_symlink() else None
        reachable = sockets is not None and any(path.is_socket() for path in sockets.iterdir())
    except OSError:
        return None
    return f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(sockets), safe='')}" if reachable else None
