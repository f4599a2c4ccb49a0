"""The life of an integration: up, down, again; begun, changed and ended by the configuration; what is told of it."""

import logging
from typing import ClassVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from gateway.accounts.account import Account
from gateway.assembly import Gateway
from gateway.integrations.integration import Integration
from gateway.integrations.integrations import Integrations
from gateway.integrations.plain_outlet import ENDED
from gateway.integrations.site import IntegrationError, Site
from gateway.monitoring.observer import Observer
from gateway.monitoring.part_metrics import part_families
from gateway.monitoring.sources import Sources
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration as IntegrationKeys
from protocols.message import make_message
from tests.gateway.memory_connection import running_gateway


class TapeKeys(IntegrationKeys, frozen=True, kw_only=True):
    kind: ClassVar[str] = "tape"
    speed: int = 1


class Tape(Integration):
    """Writes to a list; `errors` are raised first, one an attempt."""

    written: ClassVar[list[bytes]] = []
    errors: ClassVar[list[Exception]] = []
    lives: ClassVar[list[str]] = []

    def begin(self, account: Account) -> None:
        self.lives.append(f"begin {self.config.name}")
        self.make_outlet(account)

    async def serve(self) -> None:
        assert self.outlet is not None
        if self.errors:
            raise self.errors.pop(0)
        self.goes()
        while True:
            batch = await self.outlet.next_batch(100, 1 << 20)
            self.written.extend(message.subject for message in batch.messages)
            if self.errors:
                raise self.errors.pop(0)
            batch.done()

    async def finish(self) -> None:
        self.lives.append(f"finish {self.config.name}")


@pytest.fixture(autouse=True)
def blank():
    Tape.written.clear()
    Tape.errors.clear()
    Tape.lives.clear()


def site_of(gateway: Gateway) -> Site:
    return Site(gateway.runtime, gateway.find_account, lambda name: None)


def keys(name: str = "one", **more: object) -> TapeKeys:
    return TapeKeys(name=name, subjects=("a.>",), **more)  # type: ignore[arg-type]


def publish(gateway: Gateway, *subjects: bytes) -> None:
    for subject in subjects:
        gateway.account.publish(make_message(subject, b"x"))


async def until(condition) -> None:
    with trio.fail_after(600):
        while not condition():  # noqa: ASYNC110 -- what changes it has no event
            await trio.sleep(0.01)


def of(integrations: Integrations, name: str = "one"):
    return next(one for one in integrations.statuses() if one.name == name)


async def test_an_outage_is_told_once_and_nothing_that_waits_is_lost(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "leafgate.integration")
    async with running_gateway() as gateway:
        integrations = Integrations(site_of(gateway), Tape)
        Tape.errors[:] = [IntegrationError("the tape is torn")] * 3
        integrations.replace([keys()], gateway.runtime.nursery)
        await until(lambda: Tape.lives)
        publish(gateway, b"a.1", b"a.2")
        told = of(integrations)
        assert (told.up, told.last_error, told.waiting_msgs, told.outages) == (False, "the tape is torn", 2, 0)
        assert "the tape is torn" in told.fault
        await until(lambda: Tape.written == [b"a.1", b"a.2"])
        told = of(integrations)
        assert (told.up, told.fault, told.waiting_msgs, told.sent_msgs) == (True, "", 0, 2)
        Tape.errors[:] = [OSError("the reel is gone")]
        publish(gateway, b"a.3")
        await until(lambda: Tape.written == [b"a.1", b"a.2", b"a.3", b"a.3"])
        assert of(integrations).outages == 1
        lines = [record.getMessage() for record in caplog.records]
        assert [line.partition(" reason=")[0] for line in lines] == [
            "integration=tape/one event=down",
            "integration=tape/one event=up",
            "integration=tape/one event=down",
            "integration=tape/one event=up",
        ]


async def test_what_time_does_not_heal_is_tried_seldom(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        begun = trio.current_time()
        Tape.errors[:] = [IntegrationError("wrong password", lasting=True)]
        integrations = Integrations(site_of(gateway), Tape)
        integrations.replace([keys(retry_max_seconds=40.0)], gateway.runtime.nursery)
        await until(lambda: of(integrations).up)
        assert 20 <= trio.current_time() - begun <= 41


async def test_a_defect_ends_nothing_else(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture):
    async with running_gateway() as gateway:
        Tape.errors[:] = [ZeroDivisionError()]
        integrations = Integrations(site_of(gateway), Tape)
        integrations.replace([keys()], gateway.runtime.nursery)
        await until(lambda: of(integrations).up)
        assert "event=defect" in caplog.text
        assert "ZeroDivisionError" in caplog.text


async def test_reload_begins_changes_and_ends_them(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        integrations = Integrations(site_of(gateway), Tape)
        nursery = gateway.runtime.nursery
        integrations.replace([keys("one"), keys("two")], nursery)
        await until(lambda: len(Tape.lives) == 2)
        Tape.lives.clear()
        integrations.replace([keys("one"), keys("two", speed=2), keys("three")], nursery)
        await until(lambda: len(Tape.lives) == 3)
        assert Tape.lives.index("finish two") < Tape.lives.index("begin two")
        assert "begin three" in Tape.lives
        Tape.lives.clear()
        integrations.replace([keys("three")], nursery)
        await until(lambda: len(Tape.lives) == 2)
        assert [one.name for one in integrations.statuses()] == ["three"]


async def test_what_waits_in_memory_goes_out_before_the_gateway_stops(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        integrations = Integrations(site_of(gateway), Tape)
        integrations.replace([keys()], gateway.runtime.nursery)
        await until(lambda: of(integrations).up)
        publish(gateway, b"a.1")
        gateway.runtime.stopping.set()
        await until(lambda: "finish one" in Tape.lives)
        assert Tape.written == [b"a.1"]
        assert ENDED not in of(integrations).dropped_msgs


async def test_monitoring_knows_nothing_but_the_status(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        integrations = Integrations(site_of(gateway), Tape)
        Tape.errors[:] = [IntegrationError("wrong password", lasting=True)]
        integrations.replace([keys()], gateway.runtime.nursery)
        await until(lambda: of(integrations).last_error)
        publish(gateway, b"a.1")
        sources = Sources(
            runtime=gateway.runtime,
            registry=gateway.registry,
            accounts=gateway.accounts,
            integrations=integrations.statuses,
        )
        observer = Observer(sources, [], lambda: None)
        assert "wrong password" in str(observer.degradations()["integrations"])
        (shown,) = observer.server(await observer.census()).integrations
        assert (shown.kind, shown.name, shown.up, shown.waiting_msgs) == ("tape", "one", False, 1)
        families = {family.name: family for family in part_families(sources)}
        assert families["integration_up"].values == [(("tape", "one"), 0.0)]
        assert families["integration_waiting_messages"].values == [(("tape", "one"), 1)]
        assert gateway.runtime.budget.by_kind()["integrations"] > 0


def test_keys_that_all_share_are_checked():
    with pytest.raises(KeyedValueError, match="is no subject"):
        keys_of(("a b",))
    with pytest.raises(KeyedValueError, match="overlap"):
        keys_of(("a.>", "a.b"))
    with pytest.raises(KeyedValueError, match="servers' own"):
        keys_of(("$SYS.broker.>",))
    assert msgspec.convert({"name": "x", "max-pending-bytes": 5000}, TapeKeys).max_pending_bytes == 5000
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "x y"}, TapeKeys)


def keys_of(subjects: tuple[str, ...]) -> TapeKeys:
    return TapeKeys(name="one", subjects=subjects)


def test_a_library_that_is_missing_is_named_with_what_brings_it():
    class WithLibrary(TapeKeys, frozen=True, kw_only=True):
        library: ClassVar[tuple[str, str]] = ("surely_not_there", "tape")

    assert "pip install 'leafgate[tape]'" in WithLibrary(name="one").missing
    assert keys().missing == ""
