"""What nodes write into their logs belongs to the history; an error there that nobody has foreseen breaks a promise."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from tests.simulation.checkers import Broken, NodesKeepWorking

FORESEEN = {"lease.lost"}


@contextmanager
def heard_by(broken: Broken) -> Iterator[None]:
    before = structlog.get_config()

    def hear(_: Any, level: str, said: Any) -> Any:
        event = said.pop("event")
        if level == "error" and event not in FORESEEN:
            if said.get("exc_info"):
                said["exc_info"] = traceback.format_exc()
            broken.add(NodesKeepWorking, f"{event} {said}")
        else:
            broken.history.note("log", f"{event} {said}")
        raise structlog.DropEvent

    structlog.configure(processors=[hear], wrapper_class=structlog.make_filtering_bound_logger("warning"))
    try:
        yield
    finally:
        structlog.configure(**before)
