"""Metrics and the probe, in memory: bounded labels, and nothing that runs while nobody looks."""

import pytest
import trio
import trio.testing

from gateway.monitoring import metrics
from gateway.monitoring.exposition import Exposition
from gateway.monitoring.observer import Observer
from gateway.monitoring.probe import WATCHED_SECONDS, Probe
from gateway.monitoring.sources import Sources
from gateway.runtime.histogram import BOUNDS, Histogram
from gateway.settings.security import AccountRules
from tests.gateway.accounts.site import site
from tests.gateway.memory_connection import running_gateway


async def exposed(gateway: object) -> str:
    sources = Sources(runtime=gateway.runtime, registry=gateway.registry, accounts=gateway.accounts)  # type: ignore[attr-defined]
    exposition = Exposition(sources, Observer(sources, [], lambda: None))
    response = await exposition.respond()
    exposition.close()
    assert response.status == 200
    return b"".join(response.body).decode()  # type: ignore[arg-type]


async def test_accounts_beyond_the_first_share_a_label(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "MOST_ACCOUNTS", 3)
    rules = [AccountRules(name=f"a{number}") for number in range(5)]
    async with site(*rules) as house:
        text = await exposed(house.gateway)
    lines = [line for line in text.splitlines() if line.startswith("leafgate_subscriptions{")]
    assert len(lines) == 4
    assert any('account="others"' in line for line in lines)


async def test_each_family_is_a_piece():
    async with running_gateway() as gateway:
        text = await exposed(gateway)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    assert "leafgate_storage_commits_total" not in text  # Nothing is kept on a disk.


def test_histogram_counts_each_span_once():
    histogram = Histogram()
    for seconds in (0.0, BOUNDS[0], 0.003, 99.0):
        histogram.observe(seconds)
    cumulated = histogram.cumulated()
    assert cumulated[0] == (str(BOUNDS[0]), 2.0)
    assert cumulated[-1] == ("+Inf", 4.0)
    assert histogram.sum == pytest.approx(99.0031)


async def test_probe_rests_while_nobody_looks(autojump_clock: trio.testing.MockClock):
    async with running_gateway() as gateway:
        probe = Probe(gateway.runtime, gateway.reader, gateway.account)
        count = gateway.account.router.tree.count
        await trio.sleep(100)
        assert sum(probe.delay.counts) == 0
        probe.watch()
        assert gateway.account.router.tree.count == count + 1
        await trio.sleep(10.5)
        gateway.reader.poll(0)
        assert sum(probe.delay.counts) == 10
        assert sum(probe.latency.counts) == 1
        await trio.sleep(WATCHED_SECONDS * 2)
        assert gateway.account.router.tree.count == count
        assert sum(probe.delay.counts) < 100
        probe.watch()
        probe.close()
        probe.close()
