"""Streams that are still being opened: what is held for them, for how long, and who hears what of it."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gateway.dataplane.mqtt_receivers import MqttPort
from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadlines
from gateway.streams import unopened as module
from gateway.streams.stream_config import StreamConfig
from gateway.streams.unopened import PATIENCE_SECONDS, HeldDurability, UnopenedStream
from protocols.message import Message, make_message


class Home:
    """An account, and a stream that is open once that is said."""

    domain, hash = "edge", "ABCDEFGH"

    def __init__(self) -> None:
        self.held = HeldDurability()
        self.deadlines = Deadlines()
        self.refused: list[bytes] = []
        self.accepted: list[bytes] = []
        self.heard: list[bytes] = []

    def refuse_held(self, config: StreamConfig, message: Message, source: Port) -> None:
        self.refused.append(message.payload())

    def accept(self, message: Message, source: Port) -> None:
        self.accepted.append(message.payload())

    def hear(self, message: Message, source: Port) -> None:
        self.heard.append(message.payload())

    def stream(self, name: str = "S") -> UnopenedStream:
        found: Any = None
        return UnopenedStream(self, StreamConfig(name=name, subjects=[f"{name}.>"]), 0, found)

    async def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            await trio.sleep(0.1)
            self.deadlines.call_due(trio.current_time())


class Answers:
    """What requests came to."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ask(self, stream: UnopenedStream, name: str) -> None:
        stream.ask(lambda: self.told.append(f"done {name}"), lambda: self.told.append(f"refused {name}"))


def message(payload: bytes, reply: bytes = b"") -> Message:
    return make_message(b"S.a", payload, reply)


async def test_what_was_published_is_taken_in_its_order_once_the_stream_is_open() -> None:
    home = Home()
    stream, port = home.stream(), Port(None)
    for number in range(5):
        stream.hold(message(b"%d" % number, b"reply" if number % 2 else b""), port)
    answers = Answers()
    answers.ask(stream, "one")
    assert (home.accepted, answers.told) == ([], [])
    stream.open(home)
    assert home.accepted == [b"0", b"1", b"2", b"3", b"4"]
    assert answers.told == ["done one"]
    assert (home.held.bytes, home.held.requests) == (0, 0)


async def test_who_wants_an_answer_hears_after_a_while_that_there_is_none(autojump_clock: MockClock) -> None:
    home = Home()
    stream, port, answers = home.stream(), Port(None), Answers()
    stream.hold(message(b"silent"), port)
    stream.hold(message(b"asked", b"reply"), port)
    stream.hold(message(b"mqtt", b"response"), MqttPort(1 << 20))
    answers.ask(stream, "early")
    await home.wait(PATIENCE_SECONDS - 1)
    stream.hold(message(b"late", b"reply"), port)
    answers.ask(stream, "late")
    assert (home.refused, answers.told) == ([], [])
    await home.wait(2)
    assert (home.refused, answers.told) == ([b"asked"], ["refused early"])
    stream.open(home)
    assert home.accepted == [b"silent", b"mqtt", b"late"]
    assert answers.told == ["refused early", "done late"]


async def test_what_there_is_no_room_for_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home()
    one, other, port, answers = home.stream(), home.stream("T"), Port(None), Answers()
    monkeypatch.setattr(module, "MOST_BYTES", 2 * module.HELD_BYTES + 100)
    monkeypatch.setattr(module, "MOST_REQUESTS", 1)
    one.hold(message(b"first"), port)
    other.hold(message(b"second"), port)
    third = message(b"third")
    one.hold(third, port)
    assert third.refused
    assert home.refused == [b"third"]
    assert not one.hold_ack(message(b"+ACK"), port)
    answers.ask(one, "first")
    answers.ask(other, "second")
    assert answers.told == ["refused second"]
    other.open(home)
    assert one.hold_ack(message(b"+ACK"), port)
    one.open(home)
    assert (home.accepted, home.heard) == ([b"second", b"first"], [b"+ACK"])


async def test_who_waits_for_the_disk_does_so_until_nothing_is_held() -> None:
    home, told = Home(), list[str]()
    one, other, port = home.stream(), home.stream("T"), Port(None)
    before = home.held.marks
    one.hold(message(b"one"), port)
    other.hold(message(b"two"), port)
    assert home.held.marks > before
    home.held.wait(lambda: told.append("durable"), lambda: told.append("refused"))
    one.open(home)
    assert (told, home.held.is_empty) == ([], False)
    other.open(home)
    assert (told, home.held.is_empty) == (["durable"], True)


async def test_nobody_is_told_that_something_is_stored_when_the_stream_cannot_be_opened() -> None:
    home, told, answers = Home(), list[str](), Answers()
    stream, port = home.stream(), Port(None)
    stream.hold(message(b"one", b"reply"), port)
    home.held.wait(lambda: told.append("durable"), lambda: told.append("refused"))
    answers.ask(stream, "info")
    stream.fail()
    assert (home.refused, home.accepted, told, answers.told) == ([b"one"], [], ["refused"], ["refused info"])
    assert (home.held.bytes, home.held.requests) == (0, 0)
