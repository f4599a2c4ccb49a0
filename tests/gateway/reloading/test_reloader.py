"""A configuration is put in force whole, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from gateway.errors import GatewayError, ListenError
from gateway.reloading.reloader import Reloader
from gateway.settings.live import Settings
from gateway.settings.schema import Config

GOOD = "[limits]\nmax-connections = %d\n"
CHANGE = "limits.max-connections: 65536 → 5"


class Recorder:
    """A part that writes down what becomes of it."""

    def __init__(self, name: str, story: list[str], failure: Exception | None = None) -> None:
        self.name = name
        self.failure = failure
        self._story = story

    async def prepare(self, old: Config, new: Config) -> "Recorder":
        await trio.lowlevel.checkpoint()
        self._story.append(f"{self.name} prepared {old.limits.max_connections} {new.limits.max_connections}")
        if isinstance(self.failure, GatewayError):
            raise self.failure
        return self

    def apply(self) -> None:
        self._story.append(f"{self.name} applied")
        if self.failure is not None:
            raise self.failure

    def abandon(self) -> None:
        self._story.append(f"{self.name} abandoned")


class Rig:
    """A reloader whose parts fail as they are told."""

    def __init__(self, directory: Path, **failures: Exception | None) -> None:
        self.story: list[str] = []
        self.file = directory / "leafgate.toml"
        self.file.write_text(GOOD % 5)
        self.settings = Settings(Config())
        parts = [Recorder(name, self.story, failure) for name, failure in failures.items()]
        self.reloader = Reloader(self.file, self.settings, parts, self._renew)

    async def _renew(self) -> None:
        self.story.append(f"renewed with {self.settings.limits.max_connections}")


@pytest.fixture
def rig(tmp_path: Path) -> Callable[..., Rig]:
    return lambda **failures: Rig(tmp_path, **failures)


async def test_all_is_prepared_before_anything_is_applied(rig):
    one = rig(first=None, second=None)
    outcome = await one.reloader.reload()
    assert outcome.is_good
    assert list(map(str, outcome.changes)) == [CHANGE]
    prepared = ["first prepared 65536 5", "second prepared 65536 5"]
    assert one.story == [*prepared, "first applied", "second applied", "renewed with 5"]


async def test_what_cannot_be_prepared_undoes_the_rest_and_nothing_changes(rig):
    one = rig(first=None, second=None, third=ListenError("listeners[0].address: in use"), fourth=None)
    outcome = await one.reloader.reload()
    assert (outcome.reason, outcome.is_fault) == ("listeners[0].address: in use", False)
    assert one.story[3:] == ["second abandoned", "first abandoned"]
    assert one.settings.config == Config()
    assert one.reloader.fault == "listeners[0].address: in use"


async def test_part_that_fails_unexpectedly_keeps_nobody_else_from_the_change(rig, caplog):
    one = rig(first=RuntimeError("oops"), second=None)
    assert (await one.reloader.reload()).is_good
    assert one.story[2:] == ["first applied", "second applied", "renewed with 5"]
    assert "event=reload-failed" in caplog.text


async def test_fault_is_remembered_until_a_file_is_good(rig):
    one = rig(first=None)
    one.file.write_text("[limits]\nmax-connections = 0")
    outcome = await one.reloader.reload()
    assert outcome.is_fault
    assert outcome.reason == one.reloader.fault
    assert one.story == []
    one.file.write_text(GOOD % 5)
    assert (await one.reloader.reload()).is_good
    assert one.reloader.fault == ""


async def test_two_at_a_time_come_one_after_the_other(rig):
    one = rig(first=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.reloader.reload)
        nursery.start_soon(one.reloader.reload)
    assert one.story == [
        "first prepared 65536 5",
        "first applied",
        "renewed with 5",
        "first prepared 5 5",
        "first applied",
        "renewed with 5",
    ]


async def test_what_would_change_is_told_without_a_change(rig):
    one = rig(first=None)
    assert list(map(str, (await one.reloader.foretell()).changes)) == [CHANGE]
    assert (one.story, one.settings.config) == ([], Config())


async def test_name_cannot_be_changed(rig):
    one = rig(first=None)
    one.file.write_text('name = "other"')
    outcome = await one.reloader.reload()
    sentence = 'name: cannot be changed while the gateway runs ("" → "other"); restart it'
    assert outcome.reason == f"{one.file}: {sentence}"
    assert one.story == []


async def test_without_a_file_nothing_is_read():
    async def nobody() -> None:
        raise AssertionError

    outcome = await Reloader(None, Settings(Config()), [], nobody).reload()
    assert outcome.reason == "the gateway runs without a file"


async def test_file_that_changed_since_the_start_is_taken_and_one_that_says_the_same_is_not(rig):
    one = rig(first=None)
    await one.reloader.catch_up()
    assert one.story[-1] == "renewed with 5"
    one.story.clear()
    await one.reloader.catch_up()
    assert one.story == []
    one.file.write_text("[limits]\nmax-connections = 0")
    await one.reloader.catch_up()
    assert one.reloader.fault
