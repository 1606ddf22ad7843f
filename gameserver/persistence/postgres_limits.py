"""What PostgreSQL itself does about a node that fell silent: no row, no transaction and no connection stays with it.

| the node | what it leaves in the server | ended by |
|---|---|---|
| paused between statements, or in the middle of sending one | an unused connection | idle_session_timeout |
| paused before the end of one: it was run, but is not committed | its rows | transaction_timeout |
| killed while its statement waits for a lock | the rows that it has | client_connection_check_interval |
| alive, but its statement does not end | the rows that it has | statement_timeout |
| paused before it has read a long answer | its rows: writing heeds no timeout but TCP's | tcp_user_timeout |
| vanished, with its machine or its network, without a word | any of these | TCP's keepalive, tcp_user_timeout |

PostgreSQL 15 and 16 have no transaction_timeout, and refuse a connection that asks for one. There the second case lasts
until the node goes on or its process ends. It is rare: all has arrived but the five bytes that end a statement.
"""

from typing import Final

from gameserver.config import PostgresSettings
from gameserver.persistence.postgres_connection import PostgresConnection

HAS_TRANSACTION_TIMEOUT: Final = 170_000

# If both run out at the same time, PostgreSQL ends the connection instead of only the statement.
SYNC_GRACE_MS: Final = 500


def limits_of_session(settings: PostgresSettings, deadline_ms: int) -> dict[str, int]:
    """What a connection asks for when it is opened; its statements have `deadline_ms` each."""
    keepalive_s = max(1, settings.silence_limit_ms // 2_000)  # one probe goes unanswered, then it is the limit's turn
    return {
        "statement_timeout": deadline_ms,
        "idle_session_timeout": settings.idle_limit_ms,
        "client_connection_check_interval": settings.client_check_interval_ms,
        "tcp_user_timeout": settings.silence_limit_ms,
        "tcp_keepalives_idle": keepalive_s,
        "tcp_keepalives_interval": keepalive_s,
    }


async def limit_transactions(connection: PostgresConnection, deadline_ms: int) -> None:
    """The same for whole transactions, if the server knows how. Every statement of ours is one by itself."""
    if connection.server_version >= HAS_TRANSACTION_TIMEOUT:
        await connection.execute(f"SET transaction_timeout = {deadline_ms + SYNC_GRACE_MS}")
