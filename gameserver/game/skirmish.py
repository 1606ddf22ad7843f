"""The bundled mode `skirmish`: classic with smaller numbers, for trying things and for load tests.

Five players who attack every 4 s deal about 15 points of damage a second, so a side's 250 points last about 17 s.
An action every 4 s never lacks energy, whichever it is.
"""

from gameserver.game.classic import Numbers, rules_with

rules = rules_with(
    "skirmish",
    1,
    Numbers(
        attacker_health=250,
        defender_health=250,
        energy_start=4,
        energy_max=6,
        energy_interval_ms=1_000,
        attack_cost=2,
        guard_cost=3,
        guard_ms=2_000,
        cheer_cost=2,
        cheer_energy=2,
        duration_ms=30_000,
    ),
)
