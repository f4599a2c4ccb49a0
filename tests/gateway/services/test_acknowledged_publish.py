"""Publishing with an acknowledgement: who gets the message, what the answer says, and when it comes."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.assembly import Gateway
from gateway.dataplane.deliveries import SHARE
from gateway.runtime.turns import TURN_SECONDS
from gateway.services.acknowledged_publish import MOST_WAITING, PREFIX
from gateway.settings.schema import Config
from gateway.storage.storage import Storage
from protocols.message import make_message
from tests.gateway.dataplane.places import ClientPort, LinkPort
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import journal_of
from tests.gateway.nats.test_leafnode import Link
from tests.gateway.storage.running_journal import durable, running

INBOX = b"_INBOX.1"
RETAIN = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"


class Device:
    """Somebody who asks."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.port = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(self.port.subscription(INBOX))

    def publish(self, subject: bytes, payload: bytes = b"", identifier: bytes = b"", header: bytes = b"") -> None:
        if identifier:
            header = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % identifier
        message = make_message(PREFIX + subject, payload, INBOX, header)
        assert self.gateway.account.router.publish(message, self.port) == 1

    def answers(self) -> list[object]:
        """Those that have come since the last time."""
        return [json.loads(line) for line in self.port.take().split(b"\r\n")[1::2]]

    def ask(self, subject: bytes, payload: bytes = b"", identifier: bytes = b"") -> object:
        self.publish(subject, payload, identifier)
        (answer,) = self.answers()
        return answer

    def refused(self, subject: bytes, identifier: bytes = b"") -> int:
        answer = self.ask(subject, b"", identifier)
        assert isinstance(answer, dict)
        assert answer["error"]["description"]
        return int(answer["error"]["code"])


@asynccontextmanager
async def offering() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        gateway.offer_services()
        yield gateway


@asynccontextmanager
async def keeping() -> AsyncIterator[Gateway]:
    """A gateway with a storage whose journal is not running."""
    storage = Storage(None, 1000, 1 << 20)
    gateway = Gateway(Config(), storage)
    gateway.offer_services()
    yield gateway
    storage.close()


async def test_message_is_published_with_its_headers_and_answered_at_once_where_nothing_is_kept():
    async with offering() as gateway:
        reader = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(reader.subscription(b"a.*", sid=b"7"))
        device = Device(gateway)
        assert device.ask(b"a.b", b"21.5") == {"seq": 1}
        assert reader.take() == b"MSG a.b 7 4\r\n21.5\r\n"
        assert device.ask(b"a.b", b"22", b"x") == {"seq": 2}
        assert reader.take() == b"HMSG a.b 7 28 30\r\nNATS/1.0\r\nNats-Msg-Id: x\r\n\r\n22\r\n"
        assert device.ask(b"nobody") == {"seq": 3}


async def test_message_with_an_id_that_came_before_goes_to_nobody():
    async with offering() as gateway:
        reader = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(reader.subscription(b"a"))
        device = Device(gateway)
        assert device.ask(b"a", b"1", b"x") == {"seq": 1}
        assert reader.take()
        assert device.ask(b"a", b"1", b"x") == {"seq": 1, "duplicate": True}
        assert not reader.take()
        assert device.ask(b"a", b"1", b"y") == {"seq": 2}


async def test_headers_are_searched_for_the_id_whatever_stands_around_it():
    async with offering() as gateway:
        device = Device(gateway)
        for line in (b"Nats-Msg-Id:x", b"nats-msg-id:  x ", b"A: b\r\nNats-Msg-Id: x\r\nC: d"):
            device.publish(b"a", header=b"NATS/1.0\r\n%b\r\n\r\n" % line)
        for line in (b"X-Nats-Msg-Id: x", b"Nats-Msg-Id:"):
            device.publish(b"a", header=b"NATS/1.0\r\n%b\r\n\r\n" % line)
        again = {"seq": 1, "duplicate": True}
        assert device.answers() == [{"seq": 1}, again, again, {"seq": 2}, {"seq": 3}]


async def test_subject_that_cannot_be_published_on_is_refused():
    async with offering() as gateway:
        device = Device(gateway)
        assert [device.refused(subject) for subject in (b"a.*", b"a.>", b"*")] == [400] * 3
        reserved = (b"$SYS.x", b"$LEAFGATE.time", PREFIX + b"a", b"_GR_.x")
        assert [device.refused(subject) for subject in reserved] == [403] * 4
        assert device.refused(b"a", b"x" * 129) == 400
        assert device.ask(b"a", b"", b"x" * 128) == {"seq": 1}


async def test_message_that_is_no_request_and_one_from_a_hub_are_left_alone():
    async with offering() as gateway:
        router = gateway.account.router
        reader, hub = ClientPort(gateway.runtime.switch), LinkPort(gateway.runtime.switch)
        router.subscribe(reader.subscription(b"a"))
        subject = PREFIX + b"a"
        assert router.publish(make_message(subject, b""), reader) == 0
        assert router.publish(make_message(subject, b"", INBOX), hub) == 0
        assert reader.take() == b""


async def test_hub_is_not_offered_our_acknowledgements():
    async with offering() as gateway:
        assert Link(gateway).come_up() == []


async def test_answer_waits_for_the_disk_where_something_is_kept():
    async with keeping() as gateway:
        device = Device(gateway)
        assert device.ask(b"a") == {"seq": 1}  # nobody depends on it
        device.publish(b"a", b"1", header=RETAIN)
        device.publish(b"a", b"1", b"x")
        device.publish(b"a", b"1", b"x")
        assert device.answers() == []
        async with running(journal_of(gateway)):
            await durable(journal_of(gateway))
        assert device.answers() == [{"seq": 2}, {"seq": 3}, {"seq": 3, "duplicate": True}]
        assert journal_of(gateway).commits == 1
        assert device.ask(b"a", b"1", b"x") == {"seq": 3, "duplicate": True}


async def test_publisher_with_too_many_ids_is_refused_and_its_repeats_are_still_known():
    async with offering() as gateway:
        ids = gateway.account.published_ids
        device = Device(gateway)
        assert device.ask(b"a", b"1", b"x") == {"seq": 1}
        ids._most_each = 1
        assert device.refused(b"a", b"y") == 429
        assert device.ask(b"a", b"1", b"x") == {"seq": 1, "duplicate": True}
        assert device.ask(b"a") == {"seq": 2}


async def test_nothing_is_promised_while_the_disk_refuses():
    async with keeping() as gateway:
        device = Device(gateway)
        journal_of(gateway).fault = "the disk is full"
        assert device.refused(b"a", b"x") == 503
        device.publish(b"a", b"1", header=RETAIN)
        (answer,) = device.answers()
        assert answer == {"error": {"code": 503, "description": "the disk is full"}}
        assert device.ask(b"a") == {"seq": 1}  # nothing of it would be kept
        journal_of(gateway).fault = None
        device.publish(b"a", b"1", b"x")
        async with running(journal_of(gateway)):
            await durable(journal_of(gateway))
        assert device.answers() == [{"seq": 2}]


async def test_no_more_wait_for_the_disk_than_are_allowed():
    async with keeping() as gateway:
        device = Device(gateway)
        for _ in range(MOST_WAITING):
            device.publish(b"a", b"", b"x")
        assert device.refused(b"a", b"x") == 503
        async with running(journal_of(gateway)):
            await durable(journal_of(gateway))
        answers = device.answers()
        while gateway.runtime.turns:
            gateway.runtime.turns.take()
            answers += device.answers()
        assert len(answers) == MOST_WAITING
        assert device.ask(b"a", b"", b"x") == {"seq": 1, "duplicate": True}


async def test_message_for_very_many_is_published_in_shares_and_answered_behind_the_last_one():
    async with offering() as gateway:
        device = Device(gateway)
        count = 3 * SHARE
        listeners = [ClientPort(gateway.runtime.switch) for _ in range(count)]
        for one in listeners:
            gateway.account.router.subscribe(one.subscription(b"many"))
        ticks = itertools.count()
        gateway.runtime.turns.clock = lambda: next(ticks) * TURN_SECONDS  # Each look at it ends a turn.
        device.publish(b"many", b"1", b"same")
        device.publish(b"many", b"2")
        device.publish(b"many", b"3", b"same")
        heard: list[bytes] = [b""] * count
        shares = 0
        while True:
            before = sum(map(bool, heard))
            heard = [told + one.take() for told, one in zip(heard, listeners, strict=True)]
            assert sum(map(bool, heard)) - before <= 2 * SHARE
            if not gateway.runtime.turns:
                break
            gateway.runtime.turns.take()
            shares += 1
        assert shares >= 3
        second = b"\r\n1\r\nMSG many 1 1\r\n2\r\n"
        assert {(one.count(b"MSG "), one.endswith(second)) for one in heard} == {(2, True)}
        assert device.answers() == [{"seq": 1}, {"seq": 2}, {"seq": 1, "duplicate": True}]
