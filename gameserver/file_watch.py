"""Which source files changed since the last look, by modification time: enough for `--reload`, and no dependency."""

from collections.abc import Iterator
from pathlib import Path


class FileWatch:
    """Watches `files` and every .py file below `folders`."""

    def __init__(self, files: list[Path], folders: list[Path]) -> None:
        self._files = files
        self._folders = folders
        self._seen = self._look()

    def changed(self) -> Path | None:
        """One file that is new, gone or different since the last call; None if there is none."""
        before, self._seen = self._seen, self._look()
        for path in before.keys() | self._seen.keys():
            if before.get(path) != self._seen.get(path):
                return path
        return None

    def _look(self) -> dict[Path, int]:
        times = {}
        for path in self._paths():
            try:
                times[path] = path.stat().st_mtime_ns
            except OSError:  # removed meanwhile, or about to be replaced by the editor
                continue
        return times

    def _paths(self) -> Iterator[Path]:
        yield from self._files
        for folder in self._folders:
            yield from folder.rglob("*.py")
