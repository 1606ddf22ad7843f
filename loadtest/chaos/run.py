"""The run as a whole: servers and nodes start, players play, faults strike, battles end, and the proof is made."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from attrs import frozen

from gameserver.config import Settings
from gameserver.errors import unwrapped
from loadtest.chaos.crowd import Crowd
from loadtest.chaos.limits import HTTP_CONNECTIONS, HTTP_DEADLINE_MS
from loadtest.chaos.links import open_links
from loadtest.chaos.nodes import open_nodes
from loadtest.chaos.outcome import Outcome
from loadtest.chaos.plan import Strike, rounds
from loadtest.chaos.records import Records
from loadtest.chaos.servers import open_servers
from loadtest.chaos.trial import Trial, Trials
from loadtest.chaos.world import World
from loadtest.http_pool import HttpPool
from loadtest.journal_reading import read_journal
from loadtest.meter import Meter
from loadtest.population import Crew, Population
from loadtest.progress import show
from loadtest.proof import Verdict, prove
from loadtest.recording import Recording


@frozen
class Size:
    """`battles` at a time; `settle_s` lie between two faults."""

    nodes: int
    players: int
    battles: int
    action_every_s: float
    settle_s: float


async def suffer(size: Size, seed: int, faults: Sequence[str], seconds: float, folder: Path) -> Outcome:
    """The first round in any case, and then as many faults as there is time for. Raises StartError, Refused,
    Unreachable."""
    meter, plan = Meter(), rounds(seed, faults, size.nodes, Settings().node.lease_ms / 1000)
    with unwrapped():
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(open_servers(folder))
            links = await stack.enter_async_context(open_links(size.nodes, servers.running, folder))
            nodes = await stack.enter_async_context(open_nodes(links, folder))
            pool = HttpPool([node.http_url for node in nodes], HTTP_CONNECTIONS, HTTP_DEADLINE_MS)
            population = Population(await stack.enter_async_context(pool), meter)
            showing = await stack.enter_async_context(trio.open_nursery())
            showing.start_soon(show, meter)
            crowd = Crowd(population, meter, [node.websocket_url for node in nodes], size.action_every_s)
            world = World(servers, nodes, Records(servers.running.postgres_url), crowd, meter)
            crews = await population.make(size.battles, size.players // size.battles, 0, HTTP_CONNECTIONS)
            trials = await _play(world, crews, plan, seconds, size.settle_s)
            verdict = await _prove(crowd.recording, servers.running.postgres_url)
            showing.cancel_scope.cancel()
    return Outcome(seed, trials, verdict, meter.unanswered)


async def _play(
    world: World, crews: Sequence[Crew], plan: Iterable[Sequence[Strike]], seconds: float, settle_s: float
) -> Sequence[Trial]:
    world.meter.phase = "connecting"
    async with world.crowd.playing(crews):
        trials, ends_at = Trials(world, settle_s), trio.current_time() + seconds
        for number, strikes in enumerate(plan):
            for strike in strikes:
                if number and trio.current_time() >= ends_at:
                    world.meter.phase = "finishing"
                    return trials.done
                await trials.undergo(strike)
    raise AssertionError("there is no end of rounds")


async def _prove(recording: Recording, url: str) -> Verdict:
    battles, scores = await trio.to_thread.run_sync(read_journal, url, recording.battles)
    return prove(recording, battles, scores)
