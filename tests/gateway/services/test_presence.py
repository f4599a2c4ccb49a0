"""Who is there: what NATS clients with a presence subject have told of themselves, and when."""

import json
import re

import pytest
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.nats.client import NatsClientSession
from gateway.services.presence import OFFLINE_SECONDS, ONLINE, is_presence_subject, take_back
from gateway.settings.limits import Timeouts
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from protocols.close_reason import CloseReason
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.full_disk import FullDisk
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


def retained_bytes(gateway: Gateway, subject: str) -> bytes:
    message = gateway.account.retained.get(subject.encode())
    return b"" if message is None else message.payload()


def session_of(connection: MemoryConnection) -> NatsClientSession:
    assert isinstance(connection.session, NatsClientSession)
    return connection.session


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


async def test_presence_that_a_full_disk_did_not_take_is_told_to_who_comes_once_it_has_room():
    async with running_gateway() as gateway:
        connection = connect(gateway, presence=SUBJECT)
        disk = gateway.account.durability = FullDisk()
        connection.close(CloseReason.CLIENT_CLOSED)
        gateway.account.sweep(100)
        assert retained(gateway) == online()
        disk.is_full = False
        gateway.account.sweep(100)
        assert retained(gateway) == offline()
        # Told once: what is said later on the subject stands.
        connect(gateway, presence=SUBJECT)
        gateway.account.sweep(100)
        assert retained(gateway) == online()


async def test_last_to_come_speaks_for_the_subject():
    async with running_gateway() as gateway:
        place = listen(gateway)
        before, now = connect(gateway, presence=SUBJECT), connect(gateway, presence=SUBJECT, name="two")
        before.close(CloseReason.STALE_CONNECTION)
        assert heard(place) == [("one", online()), ("one", online("two"))]
        now.close(CloseReason.CLIENT_CLOSED)
        assert heard(place) == [("one", offline("two"))]


async def test_second_connect_may_give_the_subject_up_and_have_it_again_but_no_other():
    async with running_gateway() as gateway:
        place = listen(gateway)
        connection = connect(gateway, presence=SUBJECT)
        introduce(connection)
        introduce(connection, presence=SUBJECT)
        assert heard(place) == [("one", online())]
        introduce(connection, presence="")
        assert heard(place) == [("one", offline())]
        introduce(connection, presence=SUBJECT)
        assert heard(place) == [("one", online())]
        for number in range(10):
            introduce(connection, presence=f"sheds.{number}")
        assert connection.take() == b"-ERR 'Second Presence Subject'\r\n"
        assert connection.close_reason is CloseReason.PROTOCOL_VIOLATION
        assert heard(place) == [("one", offline())]
        assert len(gateway.account.retained) == 1


async def test_those_who_left_first_give_way_when_too_many_are_away():
    async with running_gateway(Config(mqtt=Mqtt(max_retained_messages=40))) as gateway:
        stays = connect(gateway, presence="sheds.stays")
        for number in range(20):
            connect(gateway, presence=f"sheds.{number}").close(CloseReason.CLIENT_CLOSED)
            if number == 3:
                own = make_message(b"sheds.3", b"mine", header=b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n")
                gateway.account.router.publish(own, session_of(stays))
        kept = [number for number in range(20) if retained_bytes(gateway, f"sheds.{number}")]
        assert kept == [3, *range(10, 20)]
        assert retained(gateway, "sheds.stays") == online()
        assert len(gateway.account.absent) == 10


async def test_who_does_not_come_back_is_forgotten_in_time():
    async with running_gateway() as gateway:
        connect(gateway, presence=SUBJECT).close(CloseReason.CLIENT_CLOSED)
        expires_at = gateway.account.retained.expires_at(SUBJECT.encode())
        assert 0 < expires_at - gateway.account.clock() <= OFFLINE_SECONDS
        connect(gateway, presence=SUBJECT)
        assert gateway.account.retained.expires_at(SUBJECT.encode()) == 0.0
        assert gateway.account.absent == {}


async def test_those_whom_an_earlier_run_told_to_be_away_are_among_those_who_give_way():
    async with running_gateway() as gateway:
        connect(gateway, presence=SUBJECT).close(CloseReason.CLIENT_CLOSED)
        gateway.account.absent.clear()
        take_back(gateway.account)
        assert list(gateway.account.absent) == [SUBJECT.encode()]


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
