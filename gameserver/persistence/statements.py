"""SQL that is long enough to be read by itself: one statement per file in `sql/`."""

from importlib.resources import files


def statement(name: str) -> str:
    return (files("gameserver.persistence") / "sql" / f"{name}.sql").read_text("utf-8")
