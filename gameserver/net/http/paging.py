"""Pages of a list. A cursor says where the last page ended: opaque to clients, and good for the list that it came from.

{"items": [...], "next_cursor": "…"}        next_cursor is null on the last page
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from attrs import frozen

from gameserver.codec import decode, encode
from gameserver.errors import Refused
from gameserver.ids import is_uuid
from gameserver.net.ports import Cursor

Row = TypeVar("Row")
Item = TypeVar("Item")

LATEST_MS: Final = 2**53


@frozen
class PageQuery:
    cursor: str | None = None
    limit: int | None = None


@frozen
class Page(Generic[Item]):
    items: Sequence[Item]
    next_cursor: str | None


@frozen
class Paging(Generic[Row, Item]):
    """One list: its `name` marks its cursors; `key` is the sort key of a row, `show` the row as clients see it.

    A key is (time in milliseconds, ID), or the ID alone.
    """

    name: str
    key: Callable[[Row], Cursor]
    show: Callable[[Row], Item]

    async def page(
        self, query: Any, limit: int, rows: Callable[[Cursor | None, int], Awaitable[Sequence[Row]]]
    ) -> Page[Item]:
        """The page that `query` (with the fields of PageQuery) asks for, of `limit` rows at most.

        One row more than asked for is read: it tells whether there is a next page. Raises Refused: invalid_cursor,
        invalid_message.
        """
        size = min(limit, query.limit if query.limit is not None else limit)
        if size < 1:
            raise Refused("invalid_message", "limit: expected a number from 1")
        found = await rows(self.read_cursor(query.cursor), size + 1)
        more = len(found) > size
        shown = found[:size]
        return Page([self.show(row) for row in shown], self.cursor(shown[-1]) if more else None)

    def cursor(self, row: Row) -> str:
        return base64.urlsafe_b64encode(encode([self.name, *self.key(row)])).rstrip(b"=").decode()

    def read_cursor(self, text: str | None) -> Cursor | None:
        if text is None:
            return None
        try:
            plain = decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError, msgspec.DecodeError) as error:
            raise Refused("invalid_cursor") from error
        if not (isinstance(plain, list) and plain and plain[0] == self.name and _is_key(plain[1:])):
            raise Refused("invalid_cursor")
        return tuple(plain[1:])


def time_and_id(time_ms: int, row_id: str) -> Cursor:
    return str(time_ms), row_id


def _is_key(key: list[Any]) -> bool:
    if not all(isinstance(part, str) for part in key) or not 1 <= len(key) <= 2 or not is_uuid(key[-1]):
        return False
    return len(key) == 1 or (key[0].isascii() and key[0].isdecimal() and len(key[0]) < 17 and int(key[0]) < LATEST_MS)
