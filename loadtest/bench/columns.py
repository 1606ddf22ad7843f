"""The columns that most scenarios show."""

from typing import Final

from loadtest.bench.scenario import Column

RATES: Final = (
    Column("commands/s", "commands_per_s", spread=True),
    Column("deliveries/s", "deliveries_per_s"),
)
LATENCIES: Final = (Column("p50 ms", "p50_ms", 1), Column("p99 ms", "p99_ms", 1))
COSTS: Final = (
    Column("server CPU per delivery, µs", "us_per_delivery", 2),
    Column("PostgreSQL CPU per delivery, µs", "postgres_us_per_delivery", 2),
    Column("commands per commit", "commands_per_commit"),
)
LAG: Final = Column("loop lag p99 ms", "loop_lag_p99_ms", 1)
GENERATOR: Final = Column("generator, cores", "generator_cores", 2)
