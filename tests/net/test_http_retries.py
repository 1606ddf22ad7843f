"""Unsafe calls under an Idempotency-Key: the first answer again, whatever happened since, and nothing done twice."""

from typing import Any

from attrs import define, evolve, field

from gameserver.actors.messages import Message
from gameserver.actors.ports import Accepted
from gameserver.cluster.lifecycle import LifecycleCall
from gameserver.cluster.ports import Remembered
from gameserver.codec import encode
from gameserver.game.commands import JoinGroup
from gameserver.ids import IdempotencyKey, derived_id, new_id
from gameserver.net.ports import BattleRow, GroupRow
from tests.net.http_world import PLAYER, app, authorization

GROUP, BATTLE, OTHER = new_id(), new_id(), new_id()
KEY = "once"
PENDING = BattleRow(BATTLE, GROUP, OTHER, "classic", "pending", PLAYER, None, 0, None, 1_000, None, None)
FINISHED = evolve(
    PENDING, state="finished", started_at_ms=2_000, finished_at_ms=3_000, winner_group_id=GROUP, score=9, reason="time"
)


def event(name: str, **payload: Any) -> bytes:
    return encode({"event": name, "seq": 7, "payload": payload})


JOINED_GROUP = event("group:join", groupId=GROUP, playerId=PLAYER, at=1_000)
JOINED_BATTLE = event("battle:join", battleId=BATTLE, playerId=PLAYER, side="attacker", role="participant", at=1_000)
INTENDED = event("group:battle-intended", groupId=GROUP, battleId=BATTLE, at=1_000)


@define
class World:
    """An actor that carries out what it is sent, once; and a table that remembers the outcome if it is told to."""

    event: bytes
    battle_row: BattleRow = PENDING
    group_row: GroupRow = field(factory=lambda: GroupRow(GROUP, "Foxes", PLAYER, {}, 1_000))
    tells_event: bool = True
    remembers: bool = True
    done: list[Any] = field(factory=list)
    outcome: Remembered | None = None

    # the parts of the context

    def send(self, message: Message) -> None:
        message.reply(self._carry_out(message.command, message.identity))

    def submit(self, call: LifecycleCall) -> None:
        if isinstance(call.identity, IdempotencyKey) and self.outcome is not None:  # it looks into the table itself
            call.reply(Accepted(self.outcome.seq, self.outcome.answer_to(call.identity)))
        else:
            call.reply(self._carry_out(call.what, call.identity))

    async def battle(self, *asked: Any) -> Any:
        if len(asked) == 1:
            return self.battle_row if asked[0] == self.battle_row.id else None
        return BATTLE, self._carry_out(asked[:3], asked[-1])

    async def group(self, *asked: Any) -> Any:
        if len(asked) == 1:
            return evolve(self.group_row, id=asked[0])
        return self._carry_out(asked[:2], asked[-1])

    async def remembered(self, player_id: str, key: str) -> Remembered | None:
        return self.outcome if (player_id, key) == (PLAYER, KEY) else None

    async def reserve_group_name(self, name: str, group_id: str) -> bool:
        return name != "Taken"

    def _carry_out(self, what: Any, identity: Any) -> Accepted:
        self.done.append(what)
        if isinstance(identity, IdempotencyKey) and self.remembers:
            self.outcome = Remembered(identity.request_hash, GROUP, 7, self.event)
        return Accepted(7, self.event if self.tells_event else None)


async def post(world: World, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, Any]:
    parts = dict.fromkeys(("accounts", "lists", "creation", "lifecycle", "router"), world)
    headers = authorization() | ({"Idempotency-Key": key} if key else {})
    options = {} if body is None else {"json": body}
    response = await app(**parts).test_client().post(path, headers=headers, **options)
    return response.status_code, await response.get_json()


async def test_joining_a_group_answers_the_same_and_happens_once() -> None:
    world = World(JOINED_GROUP)
    first = await post(world, f"/groups/{GROUP}/join")
    assert first == (
        200,
        {"group_id": GROUP, "player_id": PLAYER, "role": "member", "joined_at": "1970-01-01T00:00:01.000Z"},
    )
    assert await post(world, f"/groups/{GROUP}/join", {}) == first
    assert world.done == [JoinGroup(PLAYER)]


async def test_joining_a_battle_answers_the_member() -> None:
    world = World(JOINED_BATTLE)
    status, member = await post(world, f"/battles/{BATTLE}/join")
    assert (status, member["role"], member["side"], member["player_id"]) == (200, "participant", "attacker", PLAYER)
    assert await post(world, f"/battles/{BATTLE}/join") == (200, member)
    assert world.done == ["join"]


async def test_the_same_key_for_something_else_is_refused() -> None:
    world = World(JOINED_GROUP)
    await post(world, f"/groups/{GROUP}/join")
    status, problem = await post(world, f"/groups/{OTHER}/join")
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert len(world.done) == 1


async def test_an_actor_that_knows_the_key_but_not_the_event_leaves_it_to_the_table() -> None:
    world = World(JOINED_GROUP, tells_event=False)
    status, joined = await post(world, f"/groups/{GROUP}/join")
    assert (status, joined["group_id"]) == (200, GROUP)


async def test_what_nobody_remembers_any_more_is_said_to_be_too_old() -> None:
    world = World(JOINED_GROUP, tells_event=False, remembers=False)
    status, problem = await post(world, f"/groups/{GROUP}/join")
    assert (status, problem["code"]) == (409, "command_expired")


async def test_a_battle_that_goes_on_is_still_answered_as_it_was_created_and_begun() -> None:
    body = {"group_attacker": GROUP, "group_defender": OTHER}
    world = World(INTENDED)
    first = await post(world, "/battles", body)
    assert first[0] == 201
    assert first[1]["state"] == "pending"
    assert first[1]["meta"] == {"mode": "classic"}
    assert first[1]["websocket_url"] == f"ws://node/{BATTLE}"
    world.battle_row = FINISHED
    assert await post(world, "/battles", body) == first
    assert len(world.done) == 1

    world = World(event("battle:begin"), evolve(PENDING, state="running", started_at_ms=2_000))
    begun = await post(world, f"/battles/{BATTLE}/begin")
    assert (begun[1]["state"], begun[1]["started_at"]) == ("running", "1970-01-01T00:00:02.000Z")
    world.battle_row = FINISHED
    assert await post(world, f"/battles/{BATTLE}/begin") == begun
    assert world.done == ["begin"]


async def test_a_finished_battle_is_answered_with_its_winner() -> None:
    status, battle = await post(World(event("battle:stop"), FINISHED), f"/battles/{BATTLE}/finish", key=None)
    assert (status, battle["winner_group_id"], battle["score"]) == (200, GROUP, 9)


async def test_a_creation_that_died_halfway_is_taken_up_again() -> None:
    body = {"group_attacker": GROUP, "group_defender": OTHER}
    world = World(INTENDED)
    await post(world, "/battles", body)
    world.battle_row = evolve(PENDING, id=OTHER)
    status, problem = await post(world, "/battles", body)
    assert (status, problem["code"]) == (404, "battle_not_found")
    assert len(world.done) == 2


async def test_a_group_has_the_same_id_under_the_same_key_and_its_first_owner() -> None:
    world = World(event("group:created", groupId=GROUP))
    first = await post(world, "/groups", {"name": "Foxes"})
    assert first[0] == 201
    assert first[1]["id"] == derived_id("group", PLAYER, KEY)
    world.group_row = evolve(world.group_row, owner_id=OTHER)
    assert await post(world, "/groups", {"name": "Foxes"}) == first
    assert len(world.done) == 1
    status, problem = await post(world, "/groups", {"name": "Taken"}, key=None)
    assert (status, problem["code"]) == (409, "group_name_taken")
