"""The right to own actors: kept by renewing, given up in time when that fails, and taken anew."""

import time

import trio
from structlog.testing import capture_logs

from gameserver.cluster.lease_keeper import CorrectedClock, LeaseKeeper
from gameserver.cluster.ports import Lease, Renewal
from gameserver.config import NodeSettings
from gameserver.errors import StorageUnavailable

SETTINGS = NodeSettings(lease_ms=10_000, lease_renew_ms=2_500)


class Leases:
    """`away` for as long as it is set; `hangs` never answers."""

    def __init__(self) -> None:
        self.away = self.hangs = self.taken = False
        self.latency_s = 0.0
        self.registered = 0
        self.resigned: list[Lease] = []

    async def register(self, name: str) -> tuple[Lease, Renewal]:
        await self._answer()
        self.registered += 1
        self.taken = False
        return Lease(name, str(self.registered)), Renewal(held=True, postgres_ms=_now_ms())

    async def renew(self, lease: Lease) -> Renewal:
        await self._answer()
        return Renewal(held=not self.taken, postgres_ms=_now_ms())

    async def resign(self, lease: Lease) -> None:
        self.resigned.append(lease)

    async def _answer(self) -> None:
        await trio.sleep(float("inf") if self.hangs else self.latency_s)
        if self.away:
            raise StorageUnavailable("away")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def kept(nursery):
    leases, lost_at = Leases(), []
    keeper = LeaseKeeper(leases, CorrectedClock(), SETTINGS)
    keeper.on_lost(lambda: lost_at.append(trio.current_time()))
    await nursery.start(keeper.run)
    return keeper, leases, lost_at


async def test_a_lease_that_is_renewed_is_kept(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    await trio.sleep(100)
    assert keeper.held
    assert (leases.registered, lost_at) == (1, [])


async def test_storage_that_is_away_for_less_than_the_lease_costs_nothing(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    leases.away = True
    await trio.sleep(9)
    leases.away = False
    await trio.sleep(10)
    assert keeper.held
    assert lost_at == []


async def test_a_lease_ends_with_its_time_and_not_with_the_next_renewal(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    leases.away, leases.latency_s = True, 0.1
    await trio.sleep(15)
    assert not keeper.held
    assert len(lost_at) == 1
    assert 10 <= lost_at[0] < 10.01


async def test_a_renewal_that_hangs_does_not_keep_the_lease(autojump_clock, nursery):
    _, leases, lost_at = await kept(nursery)
    leases.hangs = True
    await trio.sleep(15)
    assert [round(at, 2) for at in lost_at] == [10]


async def test_a_lease_that_came_late_is_renewed_at_once(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    leases.away = True
    await trio.sleep(11)
    leases.away, leases.latency_s = False, 9
    await trio.sleep(2)
    leases.latency_s = 0.1  # but for the registration, which is under way
    await trio.sleep(20)
    assert keeper.held
    assert (leases.registered, len(lost_at)) == (2, 1)


async def test_an_outage_is_logged_once_also_when_it_outlasts_the_lease(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    with capture_logs() as logged:
        leases.away, leases.latency_s = True, 3
        await trio.sleep(60)
        leases.away = False
        await trio.sleep(10)
    assert keeper.held
    assert len(lost_at) == 1
    assert [line["event"] for line in logged] == ["lease.not_renewed", "lease.lost", "lease.held_again"]


async def test_who_resigned_does_not_register_again(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    await keeper.resign()
    await trio.sleep(60)
    assert not keeper.held
    assert (leases.resigned, leases.registered, lost_at) == ([Lease(SETTINGS.name, "1")], 1, [])


async def test_after_a_loss_the_node_registers_anew(autojump_clock, nursery):
    keeper, leases, lost_at = await kept(nursery)
    leases.taken = True
    await trio.sleep(3)
    assert len(lost_at) == 1
    await trio.sleep(3)
    assert keeper.held
    assert leases.registered == 2
