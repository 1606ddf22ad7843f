"""Log lines: readable on a console, JSON for machines. Events have names; what belongs to them are fields."""

import logging
import sys

import structlog

from gameserver.config import NodeSettings


def configure_logging(settings: NodeSettings) -> None:
    """Once per process. Libraries' warnings go through the same lines; their chatter is dropped."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    # The default would draw every traceback with its variables, and hold up the node for half a second.
    plain = structlog.dev.plain_traceback
    for_people = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(as_json if settings.log_format == "json" else for_people),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=settings.name)
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s %(message)s")
