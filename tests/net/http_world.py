"""A public app whose parts are as few as a test needs. A part that is not given fails the test when it is called."""

from typing import Any

from attrs import evolve
from quart_trio import QuartTrio

from gameserver.config import HttpSettings, Settings
from gameserver.ids import new_id
from gameserver.net.http.app import Gate
from gameserver.net.http.context import HttpContext
from gameserver.net.http.public import public_app
from gameserver.net.tokens import Tokens

TOKENS = Tokens("a secret for tests only", 60)
PLAYER, SESSION = new_id(), new_id()


class Untouched:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise AssertionError(f"{self._name}.{attribute} was called")

        return fail


def settings(**http: Any) -> Settings:
    return evolve(Settings(), http=HttpSettings(**http))


def context(**parts: Any) -> HttpContext:
    names = ("accounts", "lists", "creation", "lifecycle", "router", "leaderboards", "sessions")
    given: dict[str, Any] = {
        **{name: Untouched(name) for name in names},
        "tokens": TOKENS,
        "settings": settings(),
        "modes": frozenset({"classic"}),
        "readiness": list,
        "websocket_url": lambda battle_id: f"ws://node/{battle_id}",
        **parts,
    }
    return HttpContext(**given)


def app(gate: Gate | None = None, **parts: Any) -> QuartTrio:
    return public_app(context(**parts), gate)


def authorization(player_id: str = PLAYER) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.issue(TOKENS.claims(player_id, SESSION))}"}
