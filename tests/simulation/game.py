"""What is played in a run, and in what numbers: everything small and quick, so that a few seconds see it all."""

from typing import Any

from gameserver.game.classic import Numbers, rules_with
from tests.actors import nasty

brawl = rules_with(
    "brawl", 1, Numbers(attacker_health=80, defender_health=80, energy_interval_ms=300, duration_ms=9_000)
)
RULES = (nasty.rules, brawl)

BATTLES = {"a": "nasty", "b": "nasty", "c": "brawl", "d": "brawl"}
"""Their modes. In each two fight, and a third one looks on."""

SIDES = {f"{battle}-{place}": ("attacker", "defender")[place % 2] for battle in BATTLES for place in range(3)}
SIDES |= {"ann": "attacker", "dan": "defender"}
"""By player: those who begin the battles, too."""

SECTIONS: dict[str, dict[str, Any]] = {
    "auth": {"signing_key": "of the whole cluster"},
    "node": {
        "lease_ms": 1_500,
        "lease_renew_ms": 400,
        "stop_deadline_ms": 3_000,
        "drain_spread_ms": 300,
        "drain_grace_ms": 1_000,
    },
    "postgres": {"commit_deadline_ms": 1_500},
    "actors": {
        "command_deadline_ms": 1_500,
        "idle_ms": 1_200,
        "sweep_interval_ms": 500,
        "snapshot_every": 12,
        "intention_retry_ms": 800,
        "wake_patience_ms": 1_500,
    },
    "cluster": {
        "node_ttl_ms": 1_500,
        "owner_memory_ms": 2_000,
        "watch_renew_ms": 500,
        "watch_lease_ms": 1_800,
        "settle_ms": 600,
        "request_limit_ms": 1_500,
    },
    "journal": {"history_limit": 10, "outbox_backoff_ms": 100},
    "commands": {"window": 8},
    "websocket": {"messages_per_second": 0, "recent_limit": 2, "collapse_events": 3},
}
