"""The mode `bench`: classic in which nothing runs out, neither energy nor health nor time. For `--rules`."""

from gameserver.game.classic import Numbers, rules_with

VAST = 10**12

rules = rules_with(
    "bench",
    1,
    Numbers(attacker_health=VAST, defender_health=VAST, attack_cost=0, guard_cost=0, cheer_cost=0, duration_ms=VAST),
)
