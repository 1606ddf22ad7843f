"""The tables of docs/errors.md are what the code says. `python tests/docs/test_error_tables.py` writes them anew."""

from collections.abc import Iterator
from pathlib import Path

from gameserver.errors import CODES
from gameserver.protocol.close_codes import CloseCode

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"

HEAD = """# Errors

Every refusal has a stable `code`. Over HTTP it comes as a problem (RFC 9457) with the status below; over WebSocket as
`{"event":"error","id":17,"payload":{"code":"…","message":"…","retryable":false}}`, with `retryAfterMs` where known.
Retryable means: the same command, with the same ID or `Idempotency-Key`, may be sent again, and will not run twice.
A mode may refuse with codes of its own; they count as 409.
"""


def lines() -> Iterator[str]:
    yield HEAD
    yield "| code | status | retryable | meaning |"
    yield "|---|---|---|---|"
    for name, code in CODES.items():
        yield f"| `{name}` | {code.status} | {'yes' if code.retryable else ''} | {code.meaning} |"
    yield "\n## Close codes of a WebSocket\n"
    yield "4000 to 4499 mean come back, 4500 to 4999 mean do not.\n"
    yield "| code | reason |"
    yield "|---|---|"
    for close_code in CloseCode:
        yield f"| {close_code.code} | {close_code.reason} |"


def test_the_documented_errors_are_those_of_the_code() -> None:
    assert DOCUMENT.read_text() == "\n".join(lines()) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text("\n".join(lines()) + "\n")
