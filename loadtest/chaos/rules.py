"""Two modes for chaos: one that only its initiator ends, and one that is over in seconds. For `--rules`."""

from gameserver.game.classic import Numbers, rules_with

VAST = 10**12
TIRELESS = {"attacker_health": VAST, "defender_health": VAST, "attack_cost": 0}

ENDLESS = rules_with("endless", 1, Numbers(**TIRELESS, duration_ms=VAST))
BRIEF = rules_with("brief", 1, Numbers(**TIRELESS, duration_ms=5_000))
