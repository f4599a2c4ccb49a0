"""A message that is acknowledged is kept by all who are to keep it; one for which the disk has no room is refused."""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.services.acknowledged_publish import PREFIX
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.storage.batch import ROW_BYTES
from gateway.storage.storage import Storage
from gateway.storage.stored_session import NEVER_EXPIRES
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import encoder, packets
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from protocols.nats.server import ServerDecoder
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.mqtt.mqtt_peer import Peer, commit, journal_of, stored_gateway

REFUSED = ReasonCode.QUOTA_EXCEEDED
NOBODY = ReasonCode.NO_MATCHING_SUBSCRIBERS
RETAIN = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
INBOX = b"_INBOX.1"


def publishes(count: int, topic: bytes = b"t/x", qos: int = 1, version: int = 5, payload: bytes = b"%d") -> bytes:
    """So many packets, each with the number of its packet identifier in its payload."""
    numbers = range(1, count + 1)
    return b"".join(
        encoder.encode_publish(version, topic, payload.replace(b"%d", b"%d" % number), qos, number, False, False)
        for number in numbers
    )


def codes(peer: Peer) -> list[int]:
    return [packet.reason_code for packet in peer.hear()]  # type: ignore[attr-defined]


async def keepers(gateway: Gateway, count: int, topic_filter: bytes = b"t/#") -> list[Peer]:
    """Sessions whose clients are away, on the disk."""
    # They stay however far a clock is moved while the disk is waited for.
    found = [Peer(gateway, b"keeper-%d" % number, session_expiry_interval=NEVER_EXPIRES) for number in range(count)]
    for keeper in found:
        keeper.subscribe(topic_filter, 1)
        keeper.disconnect()
    await commit(gateway)
    return found


def room_for(gateway: Gateway, places: int, messages: int, size: int) -> None:
    """Leave room in the journal for so many messages of that size, topic included, in so many queues each."""
    journal = journal_of(gateway)
    journal.max_pending_bytes = journal.pending_bytes + messages * (ROW_BYTES * (places + 1) + size)


def stored(directory: Path) -> dict[bytes, list[bytes]]:
    """The payloads that sessions have queued, as a start finds them."""
    storage = Storage(directory, 1000, 1 << 20)
    names = {one.session.key: one.session.client_id for one in storage.global_account.restored}
    queues: dict[bytes, list[bytes]] = {name: [] for name in names.values()}
    rows = "SELECT session, body, header_size FROM queue JOIN message ON id = message ORDER BY session, sequence"
    for key, body, header_size in storage.database.connection.execute(rows):
        queues[names[key]].append(body[header_size:])
    storage.close()
    return queues


@pytest.mark.parametrize("qos", [1, 2])
async def test_burst_to_many_sessions_is_kept_by_each_as_far_as_it_is_acknowledged(tmp_path: Path, qos: int):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 50)
        sensor = Peer(gateway, b"sensor", session_expiry_interval=0)
        await commit(gateway)
        room_for(gateway, 50, 100, 10)
        sensor.receive(publishes(300, qos=qos))
        assert set(codes(sensor)) == set()
        await commit(gateway)
        answers = codes(sensor)
        taken = answers.count(0)
        assert 90 < taken < 110
        assert answers == [0] * taken + [REFUSED] * (300 - taken)
        assert sensor.kept.received == (set(range(1, taken + 1)) if qos == 2 else set())
        # With room again the rest is taken.
        sensor.publish(b"t/x", b"later", 1, 400)
        await commit(gateway)
        assert codes(sensor) == [0]
    wanted = [b"%d" % number for number in range(1, taken + 1)] + [b"later"]
    assert list(stored(tmp_path).values()) == [wanted] * 50


async def test_message_that_is_delivered_in_shares_is_kept_by_each_or_refused(tmp_path: Path):
    count = 1100  # More than gateway.dataplane.deliveries.SHARE.
    async with stored_gateway(tmp_path, Config(mqtt=Mqtt(max_sessions=2 * count))) as gateway:
        await keepers(gateway, count)
        sensor = Peer(gateway, b"sensor", session_expiry_interval=0)
        await commit(gateway)
        room_for(gateway, count, 5, 10)
        sensor.receive(publishes(20))
        await trio.testing.wait_all_tasks_blocked()
        await commit(gateway)
        answers = codes(sensor)
        taken = answers.count(0)
        assert taken in (4, 5)
        assert answers == [0] * taken + [REFUSED] * (20 - taken)
    assert list(stored(tmp_path).values()) == [[b"%d" % number for number in range(1, taken + 1)]] * count


@pytest.mark.parametrize("qos", [1, 2])
async def test_client_of_3_1_1_is_closed_at_the_first_message_for_which_there_is_no_room(tmp_path: Path, qos: int):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 10)
        sensor = Peer(gateway, b"sensor", version=4, clean_start=False)
        await commit(gateway)
        room_for(gateway, 10, 20, 10)
        sensor.receive(publishes(50, qos=qos, version=4))
        assert sensor.close_reason is CloseReason.STORAGE_FAILURE
        await commit(gateway)
        assert sensor.hear() == []
        # What was taken of QoS 2 is not taken twice; nothing behind the refused one was.
        again = Peer(gateway, b"sensor", version=4)
        journal_of(gateway).max_pending_bytes = 1 << 20
        again.receive(publishes(50, qos=qos, version=4))
        await commit(gateway)
        assert len(again.hear()) == 50
    sent = [b"%d" % number for number in range(1, 51)]
    queues = stored(tmp_path)
    queues.pop(b"sensor")
    for queue in queues.values():
        first = [] if qos == 2 else queue[:-50]
        assert queue == first + sent
        assert first == sent[: len(first)]
        assert qos == 2 or 15 < len(first) < 25


async def test_messages_of_nats_reach_all_sessions_or_none_and_everybody_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 10)
        listener, publisher = ClientPort(gateway.runtime.switch), ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(listener.subscription(b"t.x"))
        room_for(gateway, 10, 20, 10)
        events = ServerDecoder(1000, 4096).receive(b"".join(b"PUB t.x 2\r\n%02d\r\n" % number for number in range(50)))
        assert gateway.account.router.forward(events, 0, publisher) == len(events)
        assert listener.take().count(b"MSG t.x") == 50
        refused = journal_of(gateway).refused
        assert 25 < refused < 35
        await commit(gateway)
        told = [record.getMessage() for record in caplog.records if "event=not-stored" in record.getMessage()]
        assert len(told) == 1
        assert "reason='the disk is too slow'" in told[0]
    wanted = [b"%02d" % number for number in range(50 - refused)]
    assert list(stored(tmp_path).values()) == [wanted] * 10


async def test_shared_subscription_takes_one_place_and_a_refused_message_reaches_no_member(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 20, b"$share/g/t/#")
        sensor = Peer(gateway, b"sensor", session_expiry_interval=0)
        await commit(gateway)
        room_for(gateway, 1, 40, 10)
        sensor.receive(publishes(100))
        await commit(gateway)
        answers = codes(sensor)
        taken = answers.count(0)
        assert 35 < taken < 45
        assert answers == [0] * taken + [REFUSED] * (100 - taken)
    kept = [payload for queue in stored(tmp_path).values() for payload in queue]
    assert sorted(kept) == sorted(b"%d" % number for number in range(1, taken + 1))


async def test_message_to_be_queued_and_retained_is_both_or_neither(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 1)
        sensor = Peer(gateway, b"sensor", session_expiry_interval=0)
        await commit(gateway)
        sensor.publish(b"other", b"", 2, 99, retain=True)  # Something is on its way to the disk.
        journal_of(gateway).batch.meta.put("busy", ("busy", "1"))
        # Enough for the queue alone.
        room_for(gateway, 1, 1, 100 + 60)
        sensor.publish(b"t/x", bytes(100), 1, 1, retain=True)
        assert gateway.account.retained.get(b"t.x") is None
        sensor.publish(b"t/x", bytes(100), 1, 2)
        await commit(gateway)
        assert codes(sensor) == [NOBODY, REFUSED, 0]
    assert stored(tmp_path) == {b"keeper-0": [bytes(100)]}


async def test_request_to_publish_is_answered_with_an_error_and_its_identifier_stays_new(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        gateway.offer_services()
        await keepers(gateway, 10)
        device = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(device.subscription(INBOX))

        def ask() -> None:
            header = b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n"
            gateway.account.router.publish(make_message(PREFIX + b"t.x", b"1", INBOX, header), device)

        journal_of(gateway).batch.meta.put("busy", ("busy", "1"))
        journal_of(gateway).max_pending_bytes = 5 * ROW_BYTES
        ask()
        (answer,) = device.take().split(b"\r\n")[1::2]
        assert json.loads(answer) == {"error": {"code": 503, "description": "the disk is too slow"}}
        journal_of(gateway).max_pending_bytes = 1 << 20
        ask()
        await commit(gateway)
        (answer,) = device.take().split(b"\r\n")[1::2]
        assert json.loads(answer) == {"seq": 1}
    assert list(stored(tmp_path).values()) == [[b"1"]] * 10


async def test_answer_to_a_request_with_correlation_data_is_refused_like_any_other(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        asker, responder = Peer(gateway, b"asker"), Peer(gateway, b"responder", session_expiry_interval=0)
        asker.subscribe(b"answers", 1)
        responder.subscribe(b"ask")
        await commit(gateway)
        asker.publish(b"ask", b"?", response_topic=b"answers", correlation_data=b"\1")
        question = responder.hear()[-1]
        assert isinstance(question, Publish)
        assert question.properties is not None
        topic = question.properties.response_topic
        assert topic is not None
        if topic == b"answers":
            topic = b"_MQTT5/" + gateway.runtime.names.gateway_id + b"/_/answers"
        asker.disconnect()
        journal_of(gateway).max_pending_bytes = journal_of(gateway).pending_bytes + 10
        responder.publish(topic, b"!", 1, 1)
        await commit(gateway)
        assert codes(responder) == [REFUSED]
    assert stored(tmp_path)[b"asker"] == []


@pytest.mark.parametrize("expiry", [0, NEVER_EXPIRES])
async def test_will_for_which_there_is_no_room_is_said_when_there_is(
    tmp_path: Path, expiry: int, autojump_clock: MockClock
):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 10)
        listener = Peer(gateway, b"listener", session_expiry_interval=0)
        listener.subscribe(b"t/#")
        sensor = Peer(gateway, b"sensor", will=packets.Will(b"t/x", b"gone", 1), session_expiry_interval=expiry)
        await commit(gateway)
        listener.hear()
        journal_of(gateway).batch.meta.put("busy", ("busy", "1"))
        journal_of(gateway).max_pending_bytes = 5 * ROW_BYTES
        sensor.close(CloseReason.READ_ERROR)
        await trio.sleep(10)
        assert listener.hear() == []
        await commit(gateway)
        journal_of(gateway).max_pending_bytes = 1 << 20
        await trio.sleep(2)
        assert listener.hear_messages() == [(b"gone", 0, False)]
        await trio.sleep(10)
        assert listener.hear() == []
        await commit(gateway)
    queues = stored(tmp_path)
    assert [queues[b"keeper-%d" % number] for number in range(10)] == [[b"gone"]] * 10


async def test_will_that_was_not_said_before_a_crash_is_said_by_the_next_start(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        await keepers(gateway, 10)
        will = packets.Will(b"t/x", b"gone", 1)
        brief, lasting = Peer(gateway, b"brief", will=will, session_expiry_interval=0), Peer(gateway, will=will)
        await commit(gateway)
        journal_of(gateway).batch.meta.put("busy", ("busy", "1"))
        journal_of(gateway).max_pending_bytes = 5 * ROW_BYTES
        brief.close(CloseReason.READ_ERROR)
        lasting.close(CloseReason.READ_ERROR)
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        await trio.sleep(0.01)
        await commit(gateway)
    queues = stored(tmp_path)
    assert [queues[b"keeper-%d" % number] for number in range(10)] == [[b"gone"] * 2] * 10


# (filter, QoS, whether the client stays) of each session.
SESSIONS = st.lists(
    st.tuples(st.sampled_from([b"t/#", b"t/a", b"+/b", b"$share/g/t/#"]), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=8,
)
# Bursts in one segment: topic, QoS, size, retained; behind each whether all is brought to the disk.
BURSTS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from([b"t/a", b"t/b", b"u"]), st.integers(1, 2), st.integers(4, 600), st.booleans()),
            min_size=1,
            max_size=40,
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(sessions=SESSIONS, bursts=BURSTS, room=st.integers(500, 40_000), limit=st.integers(0, 60))
def test_what_is_acknowledged_is_in_every_session_that_is_to_have_it_after_a_crash(
    sessions: list[tuple[bytes, int, bool]],
    bursts: list[tuple[list[tuple[bytes, int, int, bool]], bool]],
    room: int,
    limit: int,
):
    with tempfile.TemporaryDirectory() as directory:
        trio.run(Walk(Path(directory), sessions, room, limit).go, bursts)


class Walk:
    """One run of the property: sessions, a publisher, and what it was told about each of its messages."""

    def __init__(self, directory: Path, sessions: list[tuple[bytes, int, bool]], room: int, limit: int) -> None:
        self.directory = directory
        self.sessions = sessions
        self.room = room
        self.config = Config(mqtt=Mqtt(max_queued_messages=limit, receive_maximum=65_535))
        self.limit = limit
        self.said: dict[int, tuple[bytes, bytes, bool]] = {}
        self.told: dict[int, int] = {}

    async def go(self, bursts: list[tuple[list[tuple[bytes, int, int, bool]], bool]]) -> None:
        async with stored_gateway(self.directory, self.config) as gateway:
            peers = [self.make(gateway, number, *wanted) for number, wanted in enumerate(self.sessions)]
            publisher = Peer(gateway, b"publisher", session_expiry_interval=0)
            await commit(gateway)
            journal_of(gateway).max_pending_bytes = self.room
            for burst, committed in bursts:
                publisher.receive(b"".join(self.packet(*one) for one in burst))
                if committed:
                    await commit(gateway)
                self.hear(publisher)
            dropped = [peer.kept.dropped for peer in peers]
        self.check(stored(self.directory), dropped)

    def make(self, gateway: Gateway, number: int, topic_filter: bytes, qos: int, stays: bool) -> Peer:
        peer = Peer(gateway, b"%d" % number)
        peer.subscribe(topic_filter, qos)
        if not stays:
            peer.disconnect()
        return peer

    def packet(self, topic: bytes, qos: int, size: int, retain: bool) -> bytes:
        number = len(self.said) + 1
        payload = (b"%d" % number).ljust(size)
        self.said[number] = (topic, payload, retain)
        return encoder.encode_publish(5, topic, payload, qos, number, retain, False)

    def hear(self, publisher: Peer) -> None:
        for packet in publisher.hear():
            assert isinstance(packet, packets.Puback | packets.Pubrec)
            self.told[packet.packet_id] = packet.reason_code

    def check(self, queues: dict[bytes, list[bytes]], dropped: list[int]) -> None:
        taken = [self.said[number] for number, code in sorted(self.told.items()) if code != REFUSED]
        assert set(self.told.values()) <= {0, NOBODY, REFUSED}
        of_group: list[bytes] = []
        lost_by_group = 0
        for number, (topic_filter, qos, stays) in enumerate(self.sessions):
            queue = queues[b"%d" % number]
            if topic_filter.startswith(b"$share"):
                of_group += queue
                lost_by_group += dropped[number]
                continue
            wanted = [payload for topic, payload, _ in taken if qos and MATCHES[topic_filter](topic)]
            if not stays:
                assert queue == wanted[: self.limit]
            elif not dropped[number]:
                assert queue == wanted
            else:
                assert set(queue) <= set(wanted)
        members = [qos for topic_filter, qos, _ in self.sessions if topic_filter.startswith(b"$share")]
        wanted = [payload for topic, payload, _ in taken if topic != b"u"]
        assert len(set(of_group)) == len(of_group)
        assert set(of_group) <= set(wanted)
        if members and all(members) and not lost_by_group:
            assert set(of_group) == set(wanted)
        storage = Storage(self.directory, 1000, 1 << 20)
        for topic in (b"t/a", b"t/b", b"u"):
            kept = [payload for said, payload, retain in taken if retain and said == topic]
            message = storage.global_account.retained.get(topic.replace(b"/", b"."))
            assert (message.payload() if message is not None else None) == (kept[-1] if kept else None)
        storage.close()


MATCHES: dict[bytes, Callable[[bytes], bool]] = {
    b"t/#": lambda topic: topic.startswith(b"t/"),
    b"t/a": lambda topic: topic == b"t/a",
    b"+/b": lambda topic: topic == b"t/b",
}
