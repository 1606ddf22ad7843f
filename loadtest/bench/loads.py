"""What the load generator is told: how many connections send how, what they say, and whom each of them is."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

DELIVERY: Final = '"event":"battle:attack"'

WATCH: Final = (
    "--setup",
    '{"id":1,"event":"battle:watch","payload":{"battleId":"{line3}"}}',
    "--setup-mark",
    '"event":"reply","id":1,',
)
GREETED: Final = ("--setup-mark", '"event":"hello"')
ATTACK: Final = (
    "--message",
    '{"id":1{n:8},"event":"battle:attack","payload":{"battleId":"{line3}"}}',
    "--mark",
    '"event":"reply","id":1{n:8}',
)
PORTS: Final = ("--port-column", "4")
"""Each connection goes to the port that stands in its line of the paths file."""

PEERS: Final = ("--message", '{"event":"battle:attack","id":"{id}","payload":{}}', "--mark", '"id":"{id}"')


@frozen
class Load:
    """How many connections send how long: the first `senders` of them (0: all) have `outstanding` commands in flight
    each; or, with a `rate`, all together send so many commands per second. `spin`: the generator never sleeps."""

    connections: int
    warmup_s: float
    seconds: float
    rate: float = 0.0
    senders: int = 0
    outstanding: int = 1
    spin: bool = False

    def lasting(self, seconds: float) -> "Load":
        """Warmed up so long that it lasts for at least this time."""
        return evolve(self, warmup_s=max(self.warmup_s, seconds - self.seconds))

    def options(self) -> list[str]:
        options = ["--conns", str(self.connections), "--warmup", str(self.warmup_s), "--seconds", str(self.seconds)]
        options += ["--rate", str(self.rate)] if self.rate else ["--outstanding", str(self.outstanding)]
        options += ["--senders", str(self.senders)] if self.senders else []
        return [*options, "--spin"] if self.spin else options


@frozen
class Seat:
    """Somebody with a battle to play in, or to watch, and the WebSocket port of the node that owns it. `setups` are
    messages of its own before the load (see `setups_of`)."""

    token: str
    battle_id: str
    owner_port: int
    setups: Sequence[str] = ()


def write_paths(paths: Path, seats: Iterable[tuple[Seat, int]]) -> None:
    """A paths file for wsload: who connects, and to which port."""
    with paths.open("w") as file:
        for seat, port in seats:
            columns = ("/ws", f"Authorization: Bearer {seat.token}", seat.battle_id, str(port), *seat.setups)
            file.write("\t".join(columns) + "\n")


def setups_of(count: int) -> list[str]:
    """Options for seats with so many setups each, whose IDs count from 1."""
    options: list[str] = []
    for number in range(1, count + 1):
        options += ["--setup", f"{{line{4 + number}}}", "--setup-mark", f'"event":"reply","id":{number},']
    return options
