"""What a person sees of a battle: every event as one readable line, with a bar for the health of the side that was hit.

Events of modes that are not bundled have lines, too: plain ones.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gameserver.client.connection import Event

BAR_CELLS: Final = 20
SIDES: Final = {"attacker": "attackers", "defender": "defenders"}

Payload = Mapping[str, Any]


class Scoreboard:
    """`names` are players' names by their IDs; they may be added to at any time."""

    def __init__(self, names: dict[str, str], me: str) -> None:
        self._names, self._me = names, me
        self._most: dict[str, int] = {}
        self._lines: Mapping[str, Callable[[Payload], str]] = {
            "battle:join": self._joined,
            "battle:begin": lambda _: "The battle begins!",
            "battle:attack": self._attacked,
            "battle:guard": self._guarded,
            "battle:cheer": self._cheered,
            "battle:stop": lambda payload: f"It is over: {payload.get('reason')}.",
            "battle:finished": self._finished,
        }

    def start(self, state: Payload) -> str:
        """From the state that `battle:watch` answers with."""
        sides: Mapping[str, Payload] = state.get("play", {}).get("sides", {})
        self._most = {side: team["health"] for side, team in sides.items() if "health" in team}
        bars = [f"{SIDES.get(side, side):>10} {self.bar(side, health)}" for side, health in self._most.items()]
        return "\n".join([f"Battle {state.get('battleId')}, mode {state.get('mode')}", *bars])

    def line(self, event: Event) -> str | None:
        """None for what is not about the battle."""
        name, payload = event["event"], event["payload"]
        if not name.startswith("battle:") or name == "battle:created":
            return None
        show = self._lines.get(name)
        try:
            return show(payload) if show else _plain(name, payload)
        except KeyError:  # another mode's event under a name that we know
            return _plain(name, payload)

    def bar(self, side: str, health: int) -> str:
        most = max(self._most.get(side, health), 1)
        full = -(-health * BAR_CELLS // most)  # rounded up: whoever lives shows at least one cell
        return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] {health}"

    def name(self, player_id: str) -> str:
        return "You" if player_id == self._me else self._names.get(player_id, player_id[:8])

    def _joined(self, payload: Payload) -> str:
        return f"{self.name(payload['playerId'])} joined the {SIDES[payload['side']]}."

    def _attacked(self, payload: Payload) -> str:
        side = payload["side"]
        hit = f"{self.name(payload['playerId'])} hit the {SIDES[side]} for {payload['damage']}"
        return f"{hit:<36} {SIDES[side]:>10} {self.bar(side, payload['health'])}{self._energy(payload)}"

    def _guarded(self, payload: Payload) -> str:
        return f"{self.name(payload['playerId'])} guarded the {SIDES[payload['side']]}.{self._energy(payload)}"

    def _cheered(self, payload: Payload) -> str:
        who, whom = self.name(payload["playerId"]), self.name(payload["targetId"])
        return f"{who} cheered {whom}: {payload['gained']} energy.{self._energy(payload)}"

    def _energy(self, payload: Payload) -> str:
        return f"  (energy left: {payload['energy']})" if payload["playerId"] == self._me else ""

    def _finished(self, payload: Payload) -> str:
        if payload["winner"] is None:
            return f"The battle ended without a winner: {payload['reason']}."
        dealt = sorted(payload["players"].items(), key=lambda item: -item[1])
        places = ", ".join(f"{self.name(player)} {points}" for player, points in dealt)
        return f"The {SIDES[payload['winner']]} win with {payload['score']} points ({payload['reason']}). {places}"


def _plain(name: str, payload: Payload) -> str:
    details = " ".join(f"{key}={value}" for key, value in payload.items() if key not in ("battleId", "at"))
    return f"{name.removeprefix('battle:')}: {details}"
