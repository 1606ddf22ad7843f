"""Groups: made, joined and left by commands to their actors, listed from the rows that follow from them."""

from functools import partial
from typing import Any, Final

import trio
from attrs import evolve, frozen

from gameserver.actors.messages import Message
from gameserver.actors.ports import Reply
from gameserver.cluster.ask import ask
from gameserver.errors import Refused
from gameserver.game.commands import JoinGroup, LeaveGroup
from gameserver.ids import derived_id, new_id
from gameserver.net.http import answers
from gameserver.net.http.answers import Group, GroupMember, JoinedGroup, LeftGroup, time_of
from gameserver.net.http.bodies import Uuid
from gameserver.net.http.context import HttpContext
from gameserver.net.http.idempotency import Payload, outcome, recall
from gameserver.net.http.names import checked_name
from gameserver.net.http.paging import Page, PageQuery, Paging, time_and_id
from gameserver.net.http.route import Call, Route
from gameserver.net.ports import GroupMemberRow, GroupRow

GROUPS: Final[Paging[GroupRow, Group]] = Paging(
    "groups", lambda row: time_and_id(row.created_at_ms, row.id), answers.group
)
MEMBERS: Final[Paging[GroupMemberRow, GroupMember]] = Paging(
    "group_members", lambda row: time_and_id(row.joined_at_ms, row.player_id), answers.group_member
)


@frozen
class NewGroup:
    name: str


async def create_group(context: HttpContext, call: Call) -> Group:
    """The name is reserved first: two groups of one name cannot both come to be. The creator owns the group."""
    asked: NewGroup = call.body
    name = checked_name(asked.name, context.settings.guards.name_limit)
    group_id = derived_id("group", call.player_id, call.key.key) if call.key else new_id()
    if await recall(context.accounts, call.key) is None:
        if not await context.accounts.reserve_group_name(name, group_id):
            raise Refused("group_name_taken")
        await context.creation.group(group_id, name, call.player_id, call.key)
    row = await _group(context, group_id)
    return answers.group(evolve(row, owner_id=call.player_id))  # as it was at first: a retry may come late


async def list_groups(context: HttpContext, call: Call) -> Page[Group]:
    return await GROUPS.page(call.query, context.settings.http.page_limit, context.lists.groups)


async def read_group(context: HttpContext, call: Call) -> Group:
    return answers.group(await _group(context, call.ids["group_id"]))


async def list_group_members(context: HttpContext, call: Call) -> Page[GroupMember]:
    group_id = (await _group(context, call.ids["group_id"])).id
    rows = partial(context.lists.group_members, group_id)
    return await MEMBERS.page(call.query, context.settings.http.page_limit, rows)


async def join_group(context: HttpContext, call: Call) -> JoinedGroup:
    done = await _carry_out(context, call, JoinGroup(call.player_id))
    return JoinedGroup(Uuid(done["groupId"]), Uuid(done["playerId"]), "member", time_of(done["at"]))


async def leave_group(context: HttpContext, call: Call) -> LeftGroup:
    done = await _carry_out(context, call, LeaveGroup(call.player_id))
    return LeftGroup(Uuid(done["groupId"]), Uuid(done["playerId"]), done["newOwnerId"], time_of(done["at"]))


async def _group(context: HttpContext, group_id: str) -> GroupRow:
    row = await context.lists.group(group_id)
    if row is None:
        raise Refused("group_not_found")
    return row


async def _carry_out(context: HttpContext, call: Call, command: Any) -> Payload:
    """Raises Refused; group_not_found also for the ID of something else."""
    known = await recall(context.accounts, call.key)
    if known is not None:
        return known
    group_id = (await _group(context, call.ids["group_id"])).id
    deadline_ms = context.settings.actors.command_deadline_ms

    def send(reply: Reply) -> None:
        expires_at = trio.current_time() + deadline_ms / 1_000
        context.router.send(Message(group_id, command, reply, expires_at, call.key))

    return await outcome(context.accounts, await ask(send, deadline_ms), call.key)


ROUTES: Final = (
    Route("POST", "/groups", create_group, "Make a group", Group, body=NewGroup, status=201),
    Route("GET", "/groups", list_groups, "All groups, newest first", Page[Group], query=PageQuery),
    Route("GET", "/groups/{group_id}", read_group, "A group", Group),
    Route("POST", "/groups/{group_id}/join", join_group, "Join a group", JoinedGroup),
    Route("POST", "/groups/{group_id}/leave", leave_group, "Leave a group", LeftGroup),
    Route(
        "GET",
        "/groups/{group_id}/members",
        list_group_members,
        "A group's members, longest-standing first",
        Page[GroupMember],
        query=PageQuery,
    ),
)
