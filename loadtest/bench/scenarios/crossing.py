"""What it costs that commands cross: two nodes and every connection on the wrong one, beside one node."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve

from loadtest.bench.battles import prepare
from loadtest.bench.bench import Bench
from loadtest.bench.columns import GENERATOR, LATENCIES
from loadtest.bench.crossings import NODES, another_port, crossed, require_crossed, two_nodes
from loadtest.bench.database import require_on_record
from loadtest.bench.loads import ATTACK, PORTS, WATCH, Load, write_paths
from loadtest.bench.measure import Values, run_wsload, values_of
from loadtest.bench.scenario import Column, Figure, Scenario, Side, ratio
from loadtest.bench.sides import our_run

CONNECTIONS: Final = 1_000
BATTLES: Final = 100
LOCAL: Final = "one node"
CROSSED: Final = "two nodes, every command crossing"


def _sides(bench: Bench, pace: Load) -> Sequence[Side]:
    load = evolve(pace, connections=CONNECTIONS)
    return Side(LOCAL, partial(_local, bench, load)), Side(CROSSED, partial(_crossing, bench, load))


def _local(bench: Bench, load: Load) -> Values:
    seating = partial(prepare, bench, battles=BATTLES, size=CONNECTIONS // BATTLES)
    return _per_node(our_run(bench, load, seating), 1)


def _crossing(bench: Bench, load: Load) -> Values:
    with two_nodes(bench) as (database, nodes):
        seats = prepare(bench, nodes, BATTLES, CONNECTIONS // BATTLES)
        write_paths(bench.paths, [(seat, another_port(seat, nodes)) for seat in seats])
        before, watched = crossed(nodes), bench.watched(nodes)
        options = ["--paths", str(bench.paths), *PORTS, *WATCH, *ATTACK]
        report = run_wsload(bench.wsload, load, watched, options, nodes[0].websocket_port)
        require_crossed(crossed(nodes) - before, report["replies_total"] + CONNECTIONS)  # each has asked to watch, too
    require_on_record(database, report["replies_total"])
    return _per_node(values_of(report, watched), NODES)


def _per_node(values: Values, nodes: int) -> Values:
    """Two rates: by the nodes that were there, busy or not; and by the CPU time that they took."""
    return {
        **values,
        "commands_per_s_and_node": values["commands_per_s"] / nodes,
        "commands_per_cpu_s": 1e6 / values["us_per_command"],
    }


CROSSING: Final = Scenario(
    name="crossing",
    title="Two nodes, every command crossing to the other one",
    work=(
        "1,000 connections in battles of 10, each with one command in flight, each on another node than its battle. "
        "Nodes, PostgreSQL, Valkey and generator share the machine; so the rate per core is that per CPU second of the "
        "nodes."
    ),
    sides=_sides,
    columns=(
        Column("commands/s", "commands_per_s", spread=True),
        Column("per node", "commands_per_s_and_node"),
        Column("per CPU second of the nodes", "commands_per_cpu_s"),
        *LATENCIES,
        Column("CPU per command, µs: nodes", "us_per_command", 1),
        Column("PostgreSQL", "postgres_us_per_command", 1),
        Column("Valkey", "valkey_us_per_command", 1),
        GENERATOR,
    ),
    figures=(
        Figure("commands per CPU second, of the local ones", ratio("commands_per_cpu_s", CROSSED, LOCAL), least=0.4),
    ),
)
