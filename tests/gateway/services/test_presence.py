"""Who is there: what NATS clients with a presence subject have told of themselves, and when."""

import json
import re

import pytest
import trio
from trio.testing import MockClock

from gateway.daemon import Gateway
from gateway.nats.client import NatsClientSession
from gateway.services.presence import ONLINE, is_presence_subject, take_back
from gateway.settings.schema import Config, Timeouts
from protocols.close_reason import CloseReason
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import MemoryConnection, running_gateway

SUBJECT = "sheds.one"
TOLD = re.compile(rb"HMSG sheds\.(\w+) .*?\r\n\r\n(\{.*?\})\r\n", re.DOTALL)


def connect(gateway: Gateway, **fields: object) -> MemoryConnection:
    connection = MemoryConnection(gateway)
    connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
    connection.take()
    introduce(connection, **fields)
    return connection


def introduce(connection: MemoryConnection, **fields: object) -> None:
    options = {"verbose": False, "pedantic": False, "name": "one"} | fields
    connection.receive(b"CONNECT %b\r\n" % json.dumps(options).encode())


def listen(gateway: Gateway) -> ClientPort:
    place = ClientPort(gateway.runtime.switch)
    gateway.account.router.subscribe(place.subscription(b"sheds.*"))
    return place


def heard(place: ClientPort) -> list[tuple[str, dict[str, str]]]:
    """Last token of the subject and content of every presence since the last time."""
    return [(token.decode(), json.loads(payload)) for token, payload in TOLD.findall(place.take())]


def online(name: str = "one") -> dict[str, str]:
    return {"state": "online", "name": name}


def offline(name: str = "one") -> dict[str, str]:
    return {"state": "offline", "name": name}


def retained(gateway: Gateway, subject: str = SUBJECT) -> dict[str, str] | None:
    message = gateway.account.retained.get(subject.encode())
    return None if message is None else json.loads(message.payload())


async def test_presence_is_told_and_retained_from_connect_to_the_end():
    async with running_gateway() as gateway:
        place = listen(gateway)
        connection = connect(gateway, presence=SUBJECT)
        assert heard(place) == [("one", online())]
        assert retained(gateway) == online()
        connection.close(CloseReason.CLIENT_CLOSED)
        assert heard(place) == [("one", offline())]
        assert retained(gateway) == offline()
        assert gateway.account.presences == {}


async def test_client_without_a_presence_subject_tells_nothing():
    async with running_gateway() as gateway:
        place = listen(gateway)
        for fields in ({}, {"presence": ""}, {"presence": None}):
            connect(gateway, **fields).close(CloseReason.CLIENT_CLOSED)
        assert heard(place) == []
        assert len(gateway.account.retained) == 0


async def test_client_that_falls_silent_is_told_to_be_offline(autojump_clock: MockClock):
    async with running_gateway(Config(timeouts=Timeouts(ping_interval_seconds=10, ping_max=2))) as gateway:
        connect(gateway, presence=SUBJECT)
        await trio.sleep(60)
        assert retained(gateway) == offline()


async def test_peer_that_breaks_a_rule_is_told_to_be_offline():
    async with running_gateway() as gateway:
        connect(gateway, presence=SUBJECT).receive(b"NONSENSE\r\n")
        assert retained(gateway) == offline()


async def test_last_to_come_speaks_for_the_subject():
    async with running_gateway() as gateway:
        place = listen(gateway)
        before, now = connect(gateway, presence=SUBJECT), connect(gateway, presence=SUBJECT, name="two")
        before.close(CloseReason.STALE_CONNECTION)
        assert heard(place) == [("one", online()), ("one", online("two"))]
        now.close(CloseReason.CLIENT_CLOSED)
        assert heard(place) == [("one", offline("two"))]


async def test_second_connect_may_change_the_subject():
    async with running_gateway() as gateway:
        place = listen(gateway)
        connection = connect(gateway, presence=SUBJECT)
        introduce(connection)
        introduce(connection, presence=SUBJECT)
        assert heard(place) == [("one", online())]
        introduce(connection, presence="sheds.two")
        assert heard(place) == [("one", offline()), ("two", online())]
        introduce(connection, presence="")
        assert heard(place) == [("two", offline())]


@pytest.mark.parametrize(
    "subject",
    [
        "$SYS.one",
        "$LEAFGATE.time",
        "$",
        "a..b",
        ".a",
        "a.",
        "a.*",
        ">",
        "a b",
        "a\tb",
        "a\r\nPUB b 0",
        "_GR_.a",
        "\ud800",
    ],
)
async def test_subject_that_no_client_may_speak_on_is_refused(subject: str):
    async with running_gateway() as gateway:
        connection = connect(gateway, presence=subject)
        assert connection.take() == b"-ERR 'Invalid Presence Subject'\r\n"
        assert connection.close_reason is CloseReason.PROTOCOL_VIOLATION
        assert len(gateway.account.retained) == 0


@pytest.mark.parametrize("value", [7, ["a"], {"a": "b"}, True])
async def test_presence_that_is_no_text_is_a_malformed_connect(value: object):
    async with running_gateway() as gateway:
        assert connect(gateway, presence=value).close_reason is CloseReason.PROTOCOL_VIOLATION


def test_subjects_of_any_language_will_do():
    assert is_presence_subject("schuppen.tür.anwesend".encode())


async def test_those_whom_a_killed_gateway_left_online_are_taken_back():
    async with running_gateway() as gateway:
        place = listen(gateway)

        def keep(subject: bytes, payload: bytes, header: bytes = ONLINE) -> None:
            gateway.account.router.publish(make_message(subject, payload, header=header), gateway.account.port)

        keep(b"sheds.one", json.dumps(online()).encode())
        keep(b"sheds.two", b"no JSON")
        keep(b"sheds.three", json.dumps(online()).encode(), b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n")
        place.take()
        take_back(gateway.account)
        assert heard(place) == [("one", offline()), ("two", {"state": "offline"})]
        take_back(gateway.account)
        assert heard(place) == []
        assert retained(gateway, "sheds.three") == online()
