"""The outgoing queue of an MQTT session: order, window, limits, packet identifiers, and what leaves it."""

from pathlib import Path

import pytest

from gateway.dataplane.mqtt_window import QueuedPublish, packet_id_of
from gateway.mqtt.queue import PAGE_ROWS, OutgoingQueue
from gateway.storage.storage import Storage
from protocols.message import make_message
from tests.gateway.storage.running_journal import durable, running, until

LAST_PACKET_ID = 65_535


def queue(window: int = 10, max_messages: int = 100, max_bytes: int = 10_000) -> OutgoingQueue:
    outgoing = OutgoingQueue(max_messages, max_bytes, lambda: None)
    outgoing.window = window
    return outgoing


def add(outgoing: OutgoingQueue, payload: bytes, qos: int = 1) -> bool:
    return outgoing.add(make_message(b"a", payload), None, qos, False, (), 0.0, away=False)


def take_all(outgoing: OutgoingQueue) -> list[QueuedPublish]:
    taken = []
    while (publish := outgoing.take()) is not None:
        taken.append(publish)
    return taken


def payloads(publishes: list[QueuedPublish]) -> list[bytes]:
    return [publish.message.payload() for publish in publishes if publish.message is not None]


def test_messages_are_sent_in_order_up_to_the_window():
    outgoing = queue(window=2)
    for payload in (b"1", b"2", b"3"):
        assert add(outgoing, payload)
    sent = take_all(outgoing)
    assert payloads(sent) == [b"1", b"2"]
    assert outgoing.acknowledge(sent[1].packet_id, 1)
    assert payloads(take_all(outgoing)) == [b"3"]


def test_window_of_none_sends_nothing():
    outgoing = queue(window=0)
    add(outgoing, b"1")
    assert outgoing.take() is None
    assert len(outgoing) == 1


@pytest.mark.parametrize("limits", [{"max_messages": 2}, {"max_bytes": 20}])
def test_newest_message_is_refused_where_there_is_no_room(limits: dict[str, int]):
    outgoing = queue(window=1, **limits)
    add(outgoing, bytes(10))
    take_all(outgoing)  # What is on its way to the client takes no room.
    assert [add(outgoing, bytes(10)) for _ in range(3)] == [True, True, False]


def test_what_can_be_sent_at_once_needs_no_room():
    outgoing = queue(max_messages=0, max_bytes=0)
    assert add(outgoing, b"1")
    assert payloads(take_all(outgoing)) == [b"1"]


def test_acknowledgement_of_another_kind_or_unknown_is_not_taken():
    outgoing = queue()
    add(outgoing, b"1", qos=1)
    add(outgoing, b"2", qos=2)
    one, two = take_all(outgoing)
    assert not outgoing.acknowledge(one.packet_id, 2)
    assert not outgoing.acknowledge(two.packet_id, 1)
    assert not outgoing.release(one.packet_id)
    assert not outgoing.release(77)
    assert not outgoing.acknowledge(77, 1)
    assert list(outgoing.sent) == [one.packet_id, two.packet_id]


def test_released_message_is_forgotten_but_not_its_place():
    outgoing = queue(window=1)
    add(outgoing, b"1", qos=2)
    add(outgoing, b"2", qos=2)
    (publish,) = take_all(outgoing)
    assert outgoing.release(publish.packet_id)
    assert outgoing.release(publish.packet_id)  # The client may say it twice.
    assert publish.message is None
    assert outgoing.take() is None
    assert outgoing.acknowledge(publish.packet_id, 2)
    assert payloads(take_all(outgoing)) == [b"2"]


def test_packet_identifiers_come_round_but_never_onto_one_in_use():
    outgoing = queue(window=LAST_PACKET_ID)
    add(outgoing, b"old")
    old = take_all(outgoing)[0]
    assert old.packet_id == 1
    for _ in range(LAST_PACKET_ID - 1):
        add(outgoing, b"")
        publish = outgoing.take()
        assert publish is not None
        outgoing.acknowledge(publish.packet_id, 1)
    add(outgoing, b"new")
    assert outgoing.take() is None
    outgoing.acknowledge(old.packet_id, 1)
    (new,) = take_all(outgoing)
    assert new.packet_id == 1


def test_what_was_sent_is_a_repetition_after_the_client_had_gone():
    outgoing = queue()
    add(outgoing, b"1")
    take_all(outgoing)
    outgoing.withdraw()
    add(outgoing, b"2")
    assert [publish.repeated for publish in take_all(outgoing)] == [True, False]


def test_what_was_sent_is_sent_again_within_the_window():
    outgoing = queue(window=3)
    for payload in (b"1", b"2", b"3", b"4"):
        add(outgoing, payload)
    take_all(outgoing)
    outgoing.withdraw()
    assert outgoing.bytes == 4
    outgoing.window = 1
    (first,) = take_all(outgoing)
    assert (first.sequence, first.packet_id) == (1, 1)
    outgoing.acknowledge(1, 1)
    assert payloads(take_all(outgoing)) == [b"2"]


@pytest.mark.parametrize(("sequence", "packet_id"), [(1, 1), (65_535, 65_535), (65_536, 1), (131_071, 1)])
def test_packet_identifier_follows_from_the_sequence(sequence: int, packet_id: int):
    assert packet_id_of(sequence) == packet_id


async def test_pages_come_from_the_disk_in_order_while_new_messages_queue_up_behind(tmp_path: Path):
    count = 2 * PAGE_ROWS + 7
    storage = Storage(tmp_path, 100, 10_000)
    outgoing, taken = stored_queue(storage, count + 10)
    for number in range(count):
        outgoing.add(make_message(b"a", b"%d" % number), None, 1, False, (), 0.0, away=True)
    assert outgoing.take() is None
    async with running(storage.journal):
        await until(lambda: len(taken) >= PAGE_ROWS)
        outgoing.add(make_message(b"a", b"%d" % count), None, 1, False, (), 0.0, away=False)
        outgoing.ready()
        await until(lambda: len(taken) == count + 1)
    assert payloads(taken) == [b"%d" % number for number in range(count + 1)]
    assert (len(outgoing), outgoing.bytes) == (0, 0)
    storage.close()


async def test_withdrawal_while_a_page_is_on_its_way_loses_and_doubles_nothing(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    outgoing, taken = stored_queue(storage, 100)
    for number in range(5):
        outgoing.add(make_message(b"a", b"%d" % number), None, 1, False, (), 0.0, away=True)
    assert outgoing.take() is None
    outgoing.withdraw()
    assert outgoing.take() is None
    async with running(storage.journal):
        await until(lambda: len(taken) >= 5)
        await durable(storage.journal)
    assert payloads(taken) == [b"0", b"1", b"2", b"3", b"4"]
    assert len(outgoing) == 0
    storage.close()


async def test_quality_of_service_2_waits_for_the_commit_that_was_asked_for_last(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    outgoing, taken = stored_queue(storage, 100)
    add(outgoing, b"1", qos=2)
    assert outgoing.take() is None
    assert len(storage.journal.batch.actions) == 1
    outgoing.withdraw()
    assert outgoing.take() is None
    async with running(storage.journal):
        await until(lambda: len(taken) == 1)
    assert payloads(taken) == [b"1"]
    storage.close()


async def test_doubtful_messages_are_repetitions_even_when_they_go_back_to_the_disk(tmp_path: Path):
    storage = Storage(tmp_path, 100, 10_000)
    outgoing, _ = stored_queue(storage, 100)
    for number in range(4):
        outgoing.add(make_message(b"a", b"%d" % number), None, 1, False, (), 0.0, away=True)
    async with running(storage.journal):
        await durable(storage.journal)
        restored, taken = stored_queue(storage, 100)
        restored.restore(4, 4, 4, 3)
        restored.window = 1
        restored.take()
        await until(lambda: len(taken) == 1)
        restored.withdraw()
        restored.window = 10
        restored.ready()
        await until(lambda: len(taken) == 5)
    assert [(one.sequence, one.repeated, one.doubtful) for one in taken[1:]] == [
        (1, True, False),
        (2, True, True),
        (3, True, True),
        (4, False, False),
    ]
    storage.close()


def test_closed_queue_takes_nothing():
    outgoing = queue()
    add(outgoing, b"1")
    outgoing.close()
    assert not add(outgoing, b"2")
    assert outgoing.take() is None


def stored_queue(storage: Storage, max_messages: int) -> tuple[OutgoingQueue, list[QueuedPublish]]:
    """A queue with a store, and what its client has been sent."""
    taken: list[QueuedPublish] = []
    outgoing = OutgoingQueue(max_messages, 1 << 20, lambda: taken.extend(take_all(outgoing)))
    outgoing.window = 1000
    outgoing.store = storage.global_account.mqtt_sessions
    outgoing.key = 1
    return outgoing, taken


def test_a_peer_that_begins_anew_is_sent_everything_as_if_for_the_first_time():
    outgoing = queue()
    for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 2)):
        add(outgoing, payload, qos)
    sent = take_all(outgoing)
    assert outgoing.release(sent[1].packet_id)
    outgoing.withdraw()
    outgoing.begin_anew()
    outgoing.window = 10
    again = take_all(outgoing)
    assert payloads(again) == [b"1", b"3"]
    assert not any(publish.repeated for publish in again)


def test_what_the_peer_does_not_take_goes_with_the_qos_that_it_takes():
    outgoing = queue()
    outgoing.most_qos = 1
    add(outgoing, b"1", 2)
    (publish,) = take_all(outgoing)
    assert publish.qos == 1
    assert outgoing.acknowledge(publish.packet_id, 1)
