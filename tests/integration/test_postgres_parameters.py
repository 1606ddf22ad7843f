"""What is sent to PostgreSQL comes back from there as it was."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.config import PostgresSettings
from gameserver.errors import CommitRejected
from gameserver.persistence.postgres import Postgres, open_postgres

ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
BIGINT = st.integers(-(2**63), 2**63 - 1)


def lists_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, max_size=20)


SCALARS = {
    "text": ANY_TEXT,
    "bigint": BIGINT,
    "bytea": st.binary(),
    "boolean": st.booleans(),
    "float8": st.floats(allow_nan=False),
}


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    async with open_postgres(PostgresSettings(url=database), "tests", 5_000) as opened:
        yield opened


@pytest.mark.parametrize("kind", SCALARS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_and_arrays_of_every_kind_come_back(kind: str, data: st.DataObject, database: str) -> None:
    pairs = data.draw(st.lists(st.tuples(st.none() | SCALARS[kind], lists_of(SCALARS[kind])), min_size=1))

    async def there_and_back() -> None:
        async with open_postgres(PostgresSettings(url=database), "tests", 5_000) as postgres:
            question = f"SELECT $1::{kind} AS value, $2::{kind}[] AS array"
            for value, array in pairs:
                row = (await postgres.fetch(question, value, array))[0]
                assert (row.value, row.array) == (value, array)

    trio.run(there_and_back)


@pytest.mark.parametrize("text", ["a\0b", "half a pair: \ud800"])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_text_that_postgres_cannot_hold_is_refused_before_it_is_sent(
    postgres: Postgres, text: str, wrapped: bool
) -> None:
    with pytest.raises(CommitRejected):
        await postgres.fetch(f"SELECT $1::text{'[]' if wrapped else ''}", [text] if wrapped else text)


async def test_what_is_no_number_among_numbers_is_refused(postgres: Postgres) -> None:
    with pytest.raises(CommitRejected, match="invalid input syntax"):
        await postgres.fetch("SELECT $1::text[]::bigint[]", [1, "2,3"])


async def test_a_number_that_is_too_large_is_refused_by_the_server(postgres: Postgres) -> None:
    with pytest.raises(CommitRejected, match="out of range"):
        await postgres.fetch("SELECT $1::bigint", 2**63)
