"""Battles: created, joined, begun and finished by commands to actors, listed from the rows that follow from them."""

from functools import partial
from typing import Final, Literal

from attrs import evolve, frozen

from gameserver.actors.ports import Accepted, Reply, Shown
from gameserver.cluster.ask import ask
from gameserver.cluster.lifecycle import LifecycleCall
from gameserver.errors import Refused
from gameserver.net.http import answers
from gameserver.net.http.answers import Battle, BattleMember, JoinedBattle, time_of
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.context import HttpContext
from gameserver.net.http.idempotency import outcome, recall
from gameserver.net.http.paging import Page, PageQuery, Paging, time_and_id
from gameserver.net.http.route import Call, Route
from gameserver.net.ports import BattleMemberRow, BattleRow

MEMBERS: Final[Paging[BattleMemberRow, BattleMember]] = Paging(
    "battle_members", lambda row: time_and_id(row.joined_at_ms, row.player_id), answers.battle_member
)


@frozen
class NewBattle:
    group_attacker: Uuid
    group_defender: Uuid
    mode: str = "classic"


@frozen
class BattlesQuery(PageQuery):
    state: Literal["pending", "running", "finished"] | None = None
    group: Uuid | None = None


async def create_battle(context: HttpContext, call: Call) -> Battle:
    asked: NewBattle = call.body
    if asked.mode not in context.modes:
        raise Refused("unknown_mode")
    if asked.group_attacker == asked.group_defender:
        raise Refused("same_group")
    known = await recall(context.accounts, call.key)
    row = await context.lists.battle(known["battleId"]) if known else None
    if row is None:  # also when the first try died between the group's commit and the battle's
        battle_id, _ = await context.creation.battle(
            asked.group_attacker, asked.group_defender, asked.mode, call.player_id, call.key
        )
        row = await _row(context, battle_id)
    return _shown(context, _as_created(row))


async def list_battles(context: HttpContext, call: Call) -> Page[Battle]:
    asked: BattlesQuery = call.query
    rows = partial(context.lists.battles, asked.state, asked.group, None)
    return await paging_of_battles(context).page(asked, context.settings.http.page_limit, rows)


async def read_battle(context: HttpContext, call: Call) -> Battle:
    return _shown(context, await _row(context, call.ids["battle_id"]))


async def list_battle_members(context: HttpContext, call: Call) -> Page[BattleMember]:
    battle_id = (await _row(context, call.ids["battle_id"])).id
    rows = partial(context.lists.battle_members, battle_id)
    return await MEMBERS.page(call.query, context.settings.http.page_limit, rows)


async def join_battle(context: HttpContext, call: Call) -> JoinedBattle:
    joined = await outcome(context.accounts, await _submit(context, call, "join"), call.key)
    return JoinedBattle(
        battle_id=Uuid(joined["battleId"]),
        player_id=Uuid(joined["playerId"]),
        role=joined["role"],
        side=joined["side"],
        joined_at=time_of(joined["at"]),
    )


async def begin_battle(context: HttpContext, call: Call) -> Battle:
    await _submit(context, call, "begin")
    return _shown(context, _as_begun(await _row(context, call.ids["battle_id"])))


async def finish_battle(context: HttpContext, call: Call) -> Battle:
    await _submit(context, call, "finish")
    return _shown(context, await _row(context, call.ids["battle_id"]))


def paging_of_battles(context: HttpContext) -> Paging[BattleRow, Battle]:
    return Paging("battles", lambda row: time_and_id(row.created_at_ms, row.id), partial(_shown, context))


async def _submit(context: HttpContext, call: Call, what: Literal["join", "begin", "finish"]) -> Accepted | Shown:
    def send(reply: Reply) -> None:
        context.lifecycle.submit(LifecycleCall(what, call.ids["battle_id"], call.player_id, call.key, reply))

    return await ask(send, context.settings.actors.command_deadline_ms)


async def _row(context: HttpContext, battle_id: str) -> BattleRow:
    row = await context.lists.battle(battle_id)
    if row is None:
        raise Refused("battle_not_found")
    return row


def _shown(context: HttpContext, row: BattleRow) -> Battle:
    return answers.battle(row, context.websocket_url(row.id))


def _as_created(row: BattleRow) -> BattleRow:
    """The row as its creation left it: the answer to a retry must not tell what happened since."""
    return evolve(_as_begun(row), state="pending", started_at_ms=None)


def _as_begun(row: BattleRow) -> BattleRow:
    return evolve(row, state="running", winner_group_id=None, score=0, reason=None, finished_at_ms=None)


ROUTES: Final = (
    Route("POST", "/battles", create_battle, "Attack a group", Battle, body=NewBattle, status=201),
    Route("GET", "/battles", list_battles, "Battles, newest first", Page[Battle], query=BattlesQuery),
    Route("GET", "/battles/{battle_id}", read_battle, "A battle", Battle),
    Route("POST", "/battles/{battle_id}/join", join_battle, "Join a battle on one's group's side", JoinedBattle),
    Route("POST", "/battles/{battle_id}/begin", begin_battle, "Begin a pending battle", Battle),
    Route("POST", "/battles/{battle_id}/finish", finish_battle, "Finish a running battle by hand", Battle),
    Route(
        "GET",
        "/battles/{battle_id}/members",
        list_battle_members,
        "A battle's players, in the order of joining",
        Page[BattleMember],
        query=PageQuery,
    ),
)
