"""Rules of time: keep-alive, expiry of sessions and messages, will delay. All of them wait at once, in threads."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Pubcomp, Pubrec, Will
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_3_1_1, MQTT_5_0, Clients, RawClient, unique
from tests.integration.peers import Peer
from tests.patience import PATIENCE_SECONDS

Scenario = Callable[[Clients], None]
# For what may be over at any time, and longer than that and what a server may add to it.
SHORT = 1
AFTER_SHORT = 2.5
# For what must not be over too soon: a busy machine takes a second for what comes in between.
ENOUGH = 6
AFTER_ENOUGH = 7.5


def let_pass(seconds: float) -> None:
    """Time itself is what the rules are about."""
    time.sleep(seconds)


def expiring(seconds: int) -> Properties:
    return Properties(session_expiry_interval=seconds)


def subscriber(clients: Clients, topic: bytes, qos: int = 2) -> RawClient:
    client = clients.connect()
    client.subscribe(topic, qos)
    return client


def absent_subscriber(clients: Clients, client_id: bytes, topic: bytes) -> None:
    client = clients.resume(MQTT_5_0, client_id)
    client.subscribe(topic, 2)
    client.disconnect()


def remaining(client: RawClient) -> int:
    """The message expiry interval of the next message."""
    properties = client.take().properties
    assert properties is not None
    assert properties.message_expiry_interval is not None
    return properties.message_expiry_interval


# Keep-alive.


def silent_client_is_told_and_closed_and_its_will_said(clients: Clients) -> None:
    topic = unique("silent")
    display = subscriber(clients, topic)
    silent = clients.with_will(Will(topic, b"gone", 1), keep_alive=SHORT)
    silent.assert_ended(ReasonCode.KEEP_ALIVE_TIMEOUT)
    assert display.take().payload == b"gone"


def silent_client_of_3_1_1_is_closed_and_its_will_said(clients: Clients) -> None:
    topic = unique("silent")
    display = subscriber(clients, topic)
    clients.with_will(Will(topic, b"gone", 1), MQTT_3_1_1, keep_alive=SHORT).assert_ended()
    assert display.take().payload == b"gone"


def pings_keep_a_client_alive(clients: Clients) -> None:
    client = clients.connect(keep_alive=ENOUGH)
    for _ in range(5):
        let_pass(ENOUGH / 3)
        client.barrier()


def messages_to_a_client_do_not_keep_it_alive(clients: Clients) -> None:
    topic = unique("listener")
    listener = clients.connect(keep_alive=ENOUGH)
    listener.subscribe(topic, 0)
    writer = clients.connect()
    for _ in range(5):
        writer.publish(topic, b"x", 0)
        let_pass(ENOUGH / 3)
    listener.assert_ended(ReasonCode.KEEP_ALIVE_TIMEOUT)


# Message expiry.


def expiry_of_a_waiting_message_counts_down(clients: Clients) -> None:
    client_id, topic = unique("wait"), unique("wait")
    absent_subscriber(clients, client_id, topic)
    writer = clients.connect()
    for qos in (1, 2):
        writer.publish(topic, b"x", qos, properties=Properties(message_expiry_interval=100))
    let_pass(AFTER_SHORT)
    back = clients.resume(MQTT_5_0, client_id)
    for _ in range(2):
        assert 50 <= remaining(back) <= 98


def expiry_of_a_retained_message_counts_down(clients: Clients) -> None:
    topic = unique("kept")
    properties = Properties(message_expiry_interval=100)
    clients.connect().publish(topic, b"kept", 1, retain=True, properties=properties)
    let_pass(AFTER_SHORT)
    assert 50 <= remaining(subscriber(clients, topic)) <= 98


def expired_messages_are_not_delivered(clients: Clients) -> None:
    client_id, topic = unique("expired"), unique("expired")
    absent_subscriber(clients, client_id, topic)
    writer = clients.connect()
    for qos in (1, 2):
        writer.publish(topic, b"expired", qos, properties=Properties(message_expiry_interval=SHORT))
    writer.publish(topic, b"lasting", 1)
    let_pass(AFTER_SHORT)
    back = clients.resume(MQTT_5_0, client_id)
    assert back.take().payload == b"lasting"
    back.assert_silence()


def expired_retained_message_is_gone(clients: Clients) -> None:
    topic = unique("expired")
    properties = Properties(message_expiry_interval=SHORT)
    clients.connect().publish(topic, b"kept", 1, retain=True, properties=properties)
    let_pass(AFTER_SHORT)
    subscriber(clients, topic).assert_silence()


def message_behind_a_full_window_expires(clients: Clients) -> None:
    topic = unique("window")
    reader = clients.connect(properties=Properties(receive_maximum=1))
    reader.subscribe(topic, 1)
    writer = clients.connect()
    writer.publish(topic, b"first", 1)
    writer.publish(topic, b"expired", 1, properties=Properties(message_expiry_interval=SHORT))
    writer.publish(topic, b"last", 1)
    first = reader.message()
    let_pass(AFTER_SHORT)
    reader.acknowledge(first)
    assert reader.take().payload == b"last"
    reader.assert_silence()


def delivery_that_has_begun_does_not_expire(clients: Clients) -> None:
    client_id, topic = unique("begun"), unique("begun")
    reader = clients.resume(MQTT_5_0, client_id)
    reader.subscribe(topic, 2)
    clients.connect().publish(topic, b"x", 2, properties=Properties(message_expiry_interval=ENOUGH))
    message = reader.message()
    let_pass(AFTER_ENOUGH)
    reader.cut()
    again = clients.resume(MQTT_5_0, client_id).take()
    assert (again.packet_id, again.payload, again.dup) == (message.packet_id, b"x", True)


def release_comes_after_the_expiry(clients: Clients) -> None:
    writer = clients.connect()
    properties = Properties(message_expiry_interval=SHORT)
    writer.send_publish(b"nobody/reads", b"x", 2, packet_id=5, properties=properties)
    assert writer.answer(Pubrec).packet_id == 5
    let_pass(AFTER_SHORT)
    writer.send(encoder.encode_pubrel(5, 5))
    assert writer.answer(Pubcomp) == Pubcomp(5)


# Session expiry.


def session_ends_when_its_time_is_over(clients: Clients) -> None:
    client_id, topic = unique("short"), unique("short")
    client = clients.resume(MQTT_5_0, client_id, properties=expiring(SHORT))
    client.subscribe(topic, 1)
    client.cut()
    clients.connect().publish(topic, b"no", 1)
    let_pass(AFTER_SHORT)
    back = clients.resume(MQTT_5_0, client_id)
    assert not back.connack.session_present
    back.assert_silence()


def session_lasts_until_its_time_is_over(clients: Clients) -> None:
    client_id = unique("lasting")
    clients.resume(MQTT_5_0, client_id, properties=expiring(30)).cut()
    let_pass(AFTER_SHORT)
    assert clients.resume(MQTT_5_0, client_id).connack.session_present


def session_of_a_connected_client_does_not_end(clients: Clients) -> None:
    client_id = unique("connected")
    client = clients.resume(MQTT_5_0, client_id, properties=expiring(ENOUGH))
    let_pass(AFTER_ENOUGH)
    client.cut()
    assert clients.resume(MQTT_5_0, client_id).connack.session_present


def expiry_that_disconnect_sets_counts(clients: Clients) -> None:
    client_id = unique("goodbye")
    clients.resume(MQTT_5_0, client_id).disconnect(properties=expiring(SHORT))
    let_pass(AFTER_SHORT)
    assert not clients.resume(MQTT_5_0, client_id).connack.session_present


def session_of_3_1_1_has_no_end(clients: Clients) -> None:
    client_id = unique("endless")
    clients.resume(MQTT_3_1_1, client_id).cut()
    let_pass(AFTER_SHORT)
    assert clients.resume(MQTT_3_1_1, client_id).connack.session_present


# Wills.


def delayed(topic: bytes, seconds: int) -> Will:
    return Will(topic, b"gone", 1, properties=Properties(will_delay_interval=seconds))


def delayed_will_is_said_later(clients: Clients) -> None:
    topic = unique("will")
    display = subscriber(clients, topic)
    clients.with_will(delayed(topic, ENOUGH), expiry=LONG).cut()
    display.assert_silence()
    assert display.take().payload == b"gone"
    display.assert_silence()


def delayed_will_is_said_later_after_disconnect_with_will(clients: Clients) -> None:
    topic = unique("will")
    display = subscriber(clients, topic)
    clients.with_will(delayed(topic, ENOUGH), expiry=LONG).disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)
    display.assert_silence()
    assert display.take().payload == b"gone"


def delayed_will_is_dropped_when_its_client_is_back_in_time(clients: Clients) -> None:
    topic, client_id = unique("will"), unique("will")
    display = subscriber(clients, topic)
    clients.with_will(delayed(topic, ENOUGH), expiry=LONG, client_id=client_id, clean_start=False).cut()
    back = clients.resume(MQTT_5_0, client_id)
    assert back.connack.session_present
    let_pass(AFTER_ENOUGH)
    back.cut()
    display.assert_silence()


def will_is_said_when_its_session_ends_before_the_delay(clients: Clients) -> None:
    topic, client_id = unique("will"), unique("will")
    display = subscriber(clients, topic)
    clients.with_will(delayed(topic, LONG), expiry=SHORT, client_id=client_id, clean_start=False).cut()
    assert display.take().payload == b"gone"
    assert not clients.resume(MQTT_5_0, client_id).connack.session_present


def expiry_of_a_delayed_will_counts_from_when_it_is_said(clients: Clients) -> None:
    topic = unique("will")
    display = subscriber(clients, topic)
    properties = Properties(will_delay_interval=ENOUGH, message_expiry_interval=100)
    clients.with_will(Will(topic, b"gone", 1, properties=properties), expiry=LONG).cut()
    assert 100 - ENOUGH < remaining(display) <= 100


# Retransmission.


def nothing_is_sent_again_because_time_passes(clients: Clients) -> None:
    topic = unique("patience")
    reader = subscriber(clients, topic)
    writer = clients.connect()
    writer.publish(topic, b"1", 1)
    writer.publish(topic, b"2", 2)
    reader.message()
    reader.send(encoder.encode_pubrec(5, reader.message().packet_id))
    reader.receive()
    let_pass(AFTER_SHORT)
    reader.assert_silence()


SCENARIOS: tuple[Scenario, ...] = (
    silent_client_is_told_and_closed_and_its_will_said,
    silent_client_of_3_1_1_is_closed_and_its_will_said,
    pings_keep_a_client_alive,
    messages_to_a_client_do_not_keep_it_alive,
    expiry_of_a_waiting_message_counts_down,
    expiry_of_a_retained_message_counts_down,
    expired_messages_are_not_delivered,
    expired_retained_message_is_gone,
    message_behind_a_full_window_expires,
    delivery_that_has_begun_does_not_expire,
    release_comes_after_the_expiry,
    session_ends_when_its_time_is_over,
    session_lasts_until_its_time_is_over,
    session_of_a_connected_client_does_not_end,
    expiry_that_disconnect_sets_counts,
    session_of_3_1_1_has_no_end,
    delayed_will_is_said_later,
    delayed_will_is_said_later_after_disconnect_with_will,
    delayed_will_is_dropped_when_its_client_is_back_in_time,
    will_is_said_when_its_session_ends_before_the_delay,
    expiry_of_a_delayed_will_counts_from_when_it_is_said,
    nothing_is_sent_again_because_time_passes,
)


@pytest.fixture(scope="module")
def outcomes(server: Peer) -> Iterator[dict[Scenario, Future[None]]]:
    """All scenarios, begun together."""

    def play(scenario: Scenario) -> None:
        with Clients(server.address("mqtt"), PATIENCE_SECONDS) as clients:
            scenario(clients)

    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        yield {scenario: pool.submit(play, scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_rule_of_time_holds(outcomes: dict[Scenario, "Future[None]"], scenario: Scenario) -> None:
    outcomes[scenario].result()
