"""Clock estimates are kept for runs: a fleet that idles for a year fills neither memory nor disk."""

from __future__ import annotations

from dataclasses import replace

from blackstart_controller.runs.clocks import Timelines
from blackstart_controller.runs.ports import ClockEstimate
from support.scenes import Scene
from support.virtual import run_virtual

BOOT = "boot-1"


def estimate(at_ns: int, offset_ns: int) -> ClockEstimate:
    return ClockEstimate("db-1", BOOT, offset_ns, error_ns=10, at_ns=at_ns)


def offset_at(timelines: Timelines, host_ns: int) -> int | None:
    mapping = timelines.mapping("db-1", BOOT, host_ns)
    return None if mapping is None else mapping.offset_ns


def test_between_two_runs_only_the_last_idle_estimate_is_kept() -> None:
    timelines = Timelines()
    hour_ns = 3_600_000_000_000
    for hour in range(1, 4):
        timelines.add(estimate(hour * hour_ns, hour), in_run=False)
    assert offset_at(timelines, hour_ns) == 3
    for hour in (4, 5):
        timelines.add(estimate(hour * hour_ns, hour))
    timelines.add(estimate(6 * hour_ns, 6), in_run=False)
    timelines.add(estimate(7 * hour_ns, 7), in_run=False)
    assert [offset_at(timelines, hour * hour_ns) for hour in range(3, 8)] == [3, 4, 5, 7, 7]


def test_only_hosts_of_a_run_have_their_clocks_stored() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.plan = replace(scene.plan, orders=scene.plan.orders[:1])
        hosts = [agent.name for agent in scene.agents]
        await scene.boot()
        await scene.fleet.measure_clocks(hosts)
        assert await scene.store.estimates(hosts, scene.boot_id) == []
        await scene.ended(await scene.start())
        stored = await scene.store.estimates(hosts, scene.boot_id)
        assert {one.host for one in stored} == {"t1", "o1"}

    run_virtual(scenario())
