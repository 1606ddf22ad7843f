"""Pages: a walk along the cursors sees every row once."""

from collections.abc import Sequence

import pytest

from gameserver.errors import Refused
from gameserver.ids import new_id
from gameserver.net.http.answers import time_of
from gameserver.net.http.paging import PageQuery, Paging, time_and_id
from gameserver.net.ports import Cursor

Row = tuple[int, str]
ROWS: list[Row] = sorted((index // 3, new_id()) for index in range(10))
PAGING: Paging[Row, Row] = Paging("rows", lambda row: time_and_id(*row), lambda row: row)


async def read(after: Cursor | None, limit: int) -> Sequence[Row]:
    start = (int(after[0]), after[1]) if after else (-1, "")
    return [row for row in ROWS if row > start][:limit]


@pytest.mark.parametrize("size", [1, 3, 9, 10, 11])
async def test_a_walk_sees_every_row_once(size: int) -> None:
    seen: list[Row] = []
    cursor: str | None = None
    for _ in range(len(ROWS)):
        page = await PAGING.page(PageQuery(cursor, size), 100, read)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ROWS


async def test_a_page_is_never_longer_than_the_limit() -> None:
    assert len((await PAGING.page(PageQuery(limit=7), 4, read)).items) == 4
    assert len((await PAGING.page(PageQuery(), 4, read)).items) == 4


def test_a_cursor_is_good_for_its_own_list_only() -> None:
    cursor = PAGING.cursor(ROWS[0])
    assert PAGING.read_cursor(cursor) == (str(ROWS[0][0]), ROWS[0][1])
    other: Paging[Row, Row] = Paging("others", PAGING.key, PAGING.show)
    for forged in (cursor[:-2], "W10", "eyJ9", "", f"{cursor}{cursor}"):
        with pytest.raises(Refused, match="invalid_cursor"):
            PAGING.read_cursor(forged)
    with pytest.raises(Refused, match="invalid_cursor"):
        other.read_cursor(cursor)


def test_times_are_rfc_3339_in_utc() -> None:
    assert time_of(0) == "1970-01-01T00:00:00.000Z"
    assert time_of(1_769_860_800_250) == "2026-01-31T12:00:00.250Z"
