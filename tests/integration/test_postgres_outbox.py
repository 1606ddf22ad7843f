import json

from gameserver.cluster.ports import News
from gameserver.config import PostgresSettings
from gameserver.ids import derived_id
from gameserver.persistence.postgres import open_postgres
from gameserver.persistence.postgres_outbox import PostgresOutbox

WRITE = "INSERT INTO outbox (actor_id, seq, topic, payload) VALUES ($1, $2, $3, $4)"


async def test_rows_are_read_in_order_until_they_are_finished(database: str) -> None:
    async with (
        open_postgres(PostgresSettings(url=database), "test", 10_000) as postgres,
    ):
        outbox, battle = PostgresOutbox(postgres), derived_id("battle")
        assert await outbox.read(10) == []
        for seq in range(1, 6):
            await postgres.fetch(WRITE, battle, seq, "battle:finished", json.dumps({"score": seq, "name": "Bären"}))
        rows = await outbox.read(4)
        assert [row.seq for row in rows] == [1, 2, 3, 4]
        assert rows[0] == News(rows[0].id, battle, 1, "battle:finished", {"score": 1, "name": "Bären"})
        await outbox.finish([rows[1].id, rows[0].id])
        await outbox.finish([rows[1].id])
        await outbox.finish([])
        assert [row.seq for row in await outbox.read(10)] == [3, 4, 5]
