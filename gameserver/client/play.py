"""`gameserver play`: fight a battle from the terminal, against the running game.

You and a bot attack, two bots defend: new players in two new groups. Everything goes through the public APIs, as any
other client would do it.
"""

import argparse
import random
import sys
from contextlib import AsyncExitStack
from typing import Any, Final

import trio
from attrs import frozen

from gameserver.client.bots import fight, until_ended, watch_end
from gameserver.client.errors import Unreachable
from gameserver.client.http import HttpClient
from gameserver.client.player import Player
from gameserver.client.scoreboard import Scoreboard
from gameserver.config import Settings
from gameserver.errors import GameServerError, Refused, StartError, unwrapped

HELP: Final = "attack (or just Enter) · guard · cheer NAME · help · quit"
BOT_NAMES: Final = ("Ada", "Grace", "Alan")
ANYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104  # we do not listen there, we connect to who does


@frozen
class Account:
    id: str
    name: str
    token: str


@frozen
class Arena:
    """A battle that is about to begin. `accounts`: you, your team-mate, and the two others."""

    battle_id: str
    websocket_url: str
    accounts: tuple[Account, ...]


def run(settings: Settings, arguments: list[str]) -> int:
    """The exit code. Raises StartError if there is no game to play."""
    options = _parser().parse_args(arguments)
    url = options.url or settings.http.public_url or _local_url(settings)
    try:
        trio.run(_play, url, options.name, options.mode, options.demo)
    except Unreachable as error:
        advice = "start one with `make run` (or `gameserver up`), or name another with --url"
        raise StartError(f"no game is running at {url}: {error}; {advice}") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gameserver play", description="Fight a battle from the terminal.")
    parser.add_argument("--name", default=f"player-{random.randrange(10**6):06}", help="your name in the game")
    parser.add_argument("--mode", default="skirmish", help="the rules to play by (default: %(default)s)")
    parser.add_argument("--url", help="the HTTP URL of the game (default: from the settings)")
    parser.add_argument("--demo", action="store_true", help="just look: you are played by a bot, too")
    return parser


def _local_url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.http.host in ANYWHERE else settings.http.host
    return f"http://{host}:{settings.http.port}"


async def _play(url: str, name: str, mode: str, demo: bool) -> None:  # noqa: FBT001  # trio.run takes no keywords
    async with HttpClient(url) as http:
        arena = await _prepare(http, name, mode)
    async with AsyncExitStack() as stack:
        players = [
            await stack.enter_async_context(Player(arena.websocket_url, account.token)) for account in arena.accounts
        ]
        await _battle(arena, players, demo=demo)


async def _prepare(http: HttpClient, name: str, mode: str) -> Arena:
    tag = f"{random.randrange(16**4):04x}"
    names = (name, *(f"{bot}-{tag}" for bot in BOT_NAMES))
    me, mate, *others = accounts = tuple([await _register(http, each) for each in names])
    attacker = await _group(http, f"{me.name}'s {tag}", (me, mate))
    defender = await _group(http, f"{others[0].name}'s", others)
    body = {"group_attacker": attacker, "group_defender": defender, "mode": mode}
    battle = await http.post("/battles", body, token=me.token)
    return Arena(battle["id"], battle["websocket_url"], accounts)


async def _register(http: HttpClient, name: str) -> Account:
    player = await http.post("/players", {"username": name})
    return Account(player["id"], player["username"], player["token"])


async def _group(http: HttpClient, name: str, members: Any) -> str:
    owner, *others = members
    group: str = (await http.post("/groups", {"name": name}, token=owner.token))["id"]
    for member in others:
        await http.post(f"/groups/{group}/join", token=member.token)
    return group


async def _battle(arena: Arena, players: list[Player], *, demo: bool) -> None:
    me, *bots = players
    board = Scoreboard({account.id: account.name for account in arena.accounts}, me.hello.player_id)
    for bot in bots:
        await bot.join(arena.battle_id)
    print(board.start((await me.watch(arena.battle_id))["state"]))
    with unwrapped():
        async with trio.open_nursery() as nursery:
            for bot in bots:
                nursery.start_soon(watch_end, bot)
                nursery.start_soon(fight, bot, arena.battle_id)
            if demo:
                nursery.start_soon(fight, me, arena.battle_id)
            else:
                print(f"You are {arena.accounts[0].name}. {HELP}")
                nursery.start_soon(_listen, me, arena, nursery.cancel_scope)
            await me.begin(arena.battle_id)
            await _show(me, board)
            nursery.cancel_scope.cancel()
    if me.ended:
        print(me.ended)


async def _show(player: Player, board: Scoreboard) -> None:
    """Prints what happens, until the battle is finished or the player's connection ends for good."""
    with until_ended(player):
        async for event in player.events():
            line = board.line(event)
            if line is not None:
                print(line, flush=True)
            if event["event"] == "battle:finished":
                return


# -- the person ----------------------------------------------------------------------------------------------------


async def _listen(player: Player, arena: Arena, scope: trio.CancelScope) -> None:
    while True:
        # A read that nobody waits for any more ends with the process; Trio's threads do not keep it alive.
        line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        if not line or line.strip() == "quit":
            scope.cancel()
            return
        try:
            await _obey(player, arena, line.split())
        except Refused as refused:
            wait = f" (in {refused.retry_after_ms / 1000:.1f} s)" if refused.retry_after_ms else ""
            print(f"{refused.message}{wait}")
        except GameServerError:
            return


async def _obey(player: Player, arena: Arena, words: list[str]) -> None:
    match words:
        case [] | ["attack"]:
            await player.attack(arena.battle_id)
        case ["guard"]:
            await player.guard(arena.battle_id)
        case ["cheer", name]:
            await player.cheer(arena.battle_id, _player_called(name, arena))
        case _:
            print(f"{HELP}\nPlayers: {', '.join(account.name for account in arena.accounts)}")


def _player_called(name: str, arena: Arena) -> str:
    """By the full name or its beginning, in any case. Raises Refused."""
    for account in arena.accounts:
        if account.name.lower().startswith(name.lower()):
            return account.id
    raise Refused("player_not_found")
