"""`gameserver loadtest`: simulated players against a running game, live progress, a report, and the proof.

The players of each battle are spread evenly over all nodes, so that half of them or more sit on another node than it.

Exit code: 0 nothing lost, doubled or out of order, and played across nodes if there are several; 1 not so; 2 it could
not be run, and it says why.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import trio
from attrs import frozen

from gameserver.config import Settings, load_settings
from gameserver.errors import StartError, unwrapped
from gameserver.persistence.embedded_running import running_postgres_url
from loadtest.exit_codes import EXIT_FAULTS, exit_code
from loadtest.http_pool import HttpPool
from loadtest.journal_reading import check_journal, knows_player, read_journal
from loadtest.limits import GROUP_LEAST, HTTP_CONNECTIONS, HTTP_DEADLINE_MS, LEAST_ACTION_EVERY_S
from loadtest.meter import Mark, Meter
from loadtest.nodes import DEFAULT_URL, Addresses, admin_of, find_nodes
from loadtest.open_files import allow_open_files
from loadtest.population import Population
from loadtest.progress import end_line, show
from loadtest.proof import prove
from loadtest.recording import Recording
from loadtest.report import load_report, proof_report, spread_report
from loadtest.scenario import Scenario
from loadtest.seating import Seating


@frozen
class Run:
    """What a run left behind; `begun` and `ended` enclose the seconds that were asked for."""

    recording: Recording
    meter: Meter
    seating: Seating
    begun: Mark
    ended: Mark


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    return exit_code("loadtest", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    half = options.players // options.battles // 2
    if half < GROUP_LEAST:
        raise StartError(f"{options.players} players are too few for {options.battles} battles at a time")
    allow_open_files(options.players)
    settings = load_settings(os.environ)
    addresses = trio.run(find_nodes, options.url, admin_of(settings, options.admin_url, options.url))
    database_url = "" if options.no_proof else _database_url(options, settings)
    run = trio.run(_load, options, addresses, half)
    print(load_report(run.meter, run.begun, run.ended))
    print(spread_report(run.seating))
    proven = options.no_proof or _prove(run, database_url)
    return 0 if proven and not run.seating.verdict().too_small else EXIT_FAULTS


def _prove(run: Run, database_url: str) -> bool:
    """Whether nothing is missing, and all was answered and came to its end in time. Raises StartError."""
    if not knows_player(database_url, next(iter(run.recording.players))):
        raise StartError("the journal that was found belongs to another game; name this one's with --database-url")
    verdict = prove(run.recording, *read_journal(database_url, run.recording.battles))
    print(proof_report(verdict))
    unfinished = verdict.battles - verdict.finished
    if unfinished:
        print(f"  {unfinished:,} battles have not finished in time")
    return not (verdict.faults or unfinished or run.meter.unanswered)


async def _load(options: argparse.Namespace, addresses: Addresses, half: int) -> Run:
    """Raises StartError, Refused, Unreachable."""
    meter, recording = Meter(), Recording()
    with unwrapped():
        pool = HttpPool(addresses.http, HTTP_CONNECTIONS, HTTP_DEADLINE_MS)
        async with pool as http, trio.open_nursery() as nursery:
            nursery.start_soon(show, meter)
            nursery.start_soon(meter.probe_lag)
            population = Population(http, meter)
            crews = await population.make(options.battles, half * 2, options.seconds, HTTP_CONNECTIONS)
            urls, seconds, action_every = addresses.websocket, options.seconds, options.action_every
            scenario = Scenario(population, recording, meter, urls, seconds, action_every)
            await scenario.run(crews)
            nursery.cancel_scope.cancel()
    end_line()
    assert scenario.begun is not None, "ran"
    assert scenario.ended is not None, "ran"
    return Run(recording, meter, scenario.seating, scenario.begun, scenario.ended)


def _database_url(options: argparse.Namespace, settings: Settings) -> str:
    """Where the journal of the running game is, and that it can be read. Raises StartError."""
    url = options.database_url or settings.postgres.url or running_postgres_url(settings.node.data_dir)
    if not url:
        raise StartError(
            f"no journal to prove it by: no game runs in {settings.node.data_dir.absolute()}, or it is another user's; "
            "name it with --database-url or DATABASE_URL, start a game with `make run`, or do without: --no-proof"
        )
    check_journal(url)
    return str(url)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gameserver loadtest", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        help="HTTP or WebSocket URL of a node, as often as there are any (default: all nodes of this machine's game, "
        f"by its admin API, or else {DEFAULT_URL})",
    )
    parser.add_argument("--admin-url", help="the admin API that tells the nodes; its token: GAMESERVER_ADMIN_TOKEN")
    parser.add_argument("--players", type=_positive, default=2_000, help="simulated players (default: %(default)s)")
    parser.add_argument("--battles", type=_positive, default=200, help="battles at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=_positive, default=60, help="how long to play (default: %(default)s)")
    parser.add_argument(
        "--action-every", type=_seconds, default=4.0, metavar="S", help="one action per player every S s (default: 4)"
    )
    parser.add_argument("--database-url", help="the game's PostgreSQL (default: DATABASE_URL, or the embedded one)")
    parser.add_argument("--no-proof", action="store_true", help="do not compare with the journal")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not LEAST_ACTION_EVERY_S <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds from {LEAST_ACTION_EVERY_S}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
