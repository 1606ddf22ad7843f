"""How a run that proves something ends: its exit code, and what it says if it has come to nothing."""

import sys
from collections.abc import Callable
from typing import Final

from gameserver.errors import GameServerError
from loadtest.progress import end_line

EXIT_FAULTS: Final = 1
EXIT_CANNOT_RUN: Final = 2


def exit_code(name: str, run: Callable[[], int]) -> int:
    """What `run` gives; if it could not be run, or not to its end, that is said under this name."""
    code = EXIT_CANNOT_RUN
    try:
        code = run()
    except* GameServerError as errors:
        end_line()
        print(f"{name}: {_first(errors)}", file=sys.stderr)
    except* KeyboardInterrupt:
        end_line()
        print(f"{name}: interrupted; without its end there is nothing to prove", file=sys.stderr)
    return code


def _first(error: BaseException) -> BaseException:
    """Many players run into the same trouble at once; one of them tells it for all."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
