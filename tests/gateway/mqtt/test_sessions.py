"""All MQTT sessions: take-over, how long they live, their wills, and what a restart makes of them."""

import logging
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.mqtt.bridge_ids import bridge_id
from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.storage.stored_session import NEVER_EXPIRES, RestoredSession, StoredSession, StoredWill
from protocols.close_reason import CloseReason
from protocols.message import make_message
from protocols.mqtt import packets
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, messages_of, stored_gateway

LATER = packets.Will(b"w", b"gone", 1, False, Properties(will_delay_interval=30))
AT_ONCE = packets.Will(b"w", b"gone", 1)


async def listener(gateway: Gateway) -> Peer:
    peer = Peer(gateway, b"listener", session_expiry_interval=0)
    peer.subscribe(b"w")
    peer.hear()
    return peer


async def test_will_waits_for_its_delay(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        heir = await listener(gateway)
        Peer(gateway, will=LATER).close(CloseReason.READ_ERROR)
        await trio.sleep(29)
        assert heir.hear() == []
        await trio.sleep(2)
        assert heir.hear_messages() == [(b"gone", 0, False)]
        await trio.sleep(2000)
        assert heir.hear() == []
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 1


async def test_will_is_said_at_the_end_of_the_session_if_that_comes_first(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        heir = await listener(gateway)
        Peer(gateway, will=LATER, session_expiry_interval=10).close(CloseReason.READ_ERROR)
        await trio.sleep(9)
        assert heir.hear() == []
        await trio.sleep(2)
        assert heir.hear_messages() == [(b"gone", 0, False)]


@pytest.mark.parametrize(("clean_start", "said"), [(False, []), (True, [(b"gone", 0, False)])])
async def test_will_that_waits_is_said_when_another_connection_ends_the_session(
    clean_start: bool, said: list[tuple[bytes, int, bool]], autojump_clock: MockClock
):
    async with running_gateway() as gateway:
        heir = await listener(gateway)
        Peer(gateway, will=LATER)
        Peer(gateway, clean_start=clean_start)
        await trio.sleep(100)
        assert heir.hear_messages() == said


async def test_session_ends_when_its_client_is_away_for_too_long(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        Peer(gateway, session_expiry_interval=10).disconnect()
        await trio.sleep(9)
        assert Peer(gateway, session_expiry_interval=10).greeting.session_present  # type: ignore[attr-defined]
        await trio.sleep(20)
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 1


@pytest.mark.parametrize("expiry", [0, 1000])
async def test_will_of_a_client_that_a_crash_cut_off_is_said_after_the_restart(tmp_path: Path, expiry: int):
    async with stored_gateway(tmp_path) as gateway:
        keeper = Peer(gateway, b"z-keeper")
        keeper.subscribe(b"w", 1)
        Peer(gateway, b"a", will=AT_ONCE, session_expiry_interval=expiry)
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        await trio.testing.wait_all_tasks_blocked()
        assert [payload for payload, _, _ in await messages_of(Peer(gateway, b"z-keeper"), 1)] == [b"gone"]
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        await trio.testing.wait_all_tasks_blocked()
        keeper = Peer(gateway, b"z-keeper")
        assert len(keeper.kept.outgoing) == 1


async def test_sessions_that_are_restored_later_hear_the_wills_of_those_that_are_over(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        Peer(gateway, b"first", will=AT_ONCE, session_expiry_interval=0)
        keeper = Peer(gateway, b"second")
        assert gateway.mqtt_sessions.of(gateway.account)._sessions[b"first"].key < keeper.kept.key
        keeper.subscribe(b"w", 1)
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        assert list(gateway.mqtt_sessions.of(gateway.account)._sessions) == [b"second"]
        assert [payload for payload, _, _ in await messages_of(Peer(gateway, b"second"), 1)] == [b"gone"]


async def test_will_of_a_lasting_session_waits_for_the_restart_when_the_gateway_stops(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        heir = await listener(gateway)
        Peer(gateway, will=AT_ONCE).close(CloseReason.SERVER_SHUTDOWN)
        await commit(gateway)
        await trio.testing.wait_all_tasks_blocked()
        assert heir.hear() == []
    async with stored_gateway(tmp_path) as gateway:
        absence = gateway.mqtt_sessions.of(gateway.account)._absences._absences[b"peer"]
        assert absence.will is not None
        assert absence.will_deadline is not None


@pytest.mark.parametrize("expiry", [0, 1000])
async def test_will_of_a_session_that_no_restart_brings_back_is_said_when_the_gateway_stops(expiry: int):
    async with running_gateway() as gateway:
        heir = await listener(gateway)
        for will in (AT_ONCE, LATER):
            Peer(gateway, will=will, session_expiry_interval=expiry).close(CloseReason.SERVER_SHUTDOWN)
            assert heir.hear_messages() == [(b"gone", 0, False)]


async def test_retained_will_of_a_session_without_a_store_is_on_the_disk_after_the_gateway_has_stopped(tmp_path: Path):
    will = packets.Will(b"tele/t1/LWT", b"Offline", 0, True)
    async with stored_gateway(tmp_path) as gateway:
        peer = Peer(gateway, b"t1", version=4, clean_start=True, will=will)
        peer.publish(b"tele/t1/LWT", b"Online", retain=True)
        peer.close(CloseReason.SERVER_SHUTDOWN)
        await commit(gateway)
    async with stored_gateway(tmp_path) as gateway:
        kept = gateway.account.retained.get(b"tele.t1.LWT")
        assert kept is not None
        assert kept.payload() == b"Offline"


def restored(expiry: int, ended_at: float, will: StoredWill | None = None) -> RestoredSession:
    return RestoredSession(StoredSession(7, b"peer", 5, expiry, ended_at, will), [], set(), 0, 0, 0, 0)


async def test_clock_that_was_set_back_by_years_neither_ends_sessions_nor_holds_wills_back(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        heir = await listener(gateway)
        years = 50 * 365 * 86_400.0
        will = StoredWill(make_message(b"w", b"gone"), delay_seconds=30, due_at=gateway.account.clock() + years)
        gateway.mqtt_sessions.of(gateway.account).restore([restored(100, gateway.account.clock() + years, will)])
        await trio.sleep(31)
        assert heir.hear_messages() == [(b"gone", 0, False)]
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 2
        await trio.sleep(70)
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 1


async def test_shorter_limit_of_a_sessions_life_holds_for_those_that_are_restored(autojump_clock: MockClock):
    async with running_gateway(Config(mqtt=Mqtt(max_session_expiry_seconds=100))) as gateway:
        gateway.mqtt_sessions.of(gateway.account).restore([restored(NEVER_EXPIRES, gateway.account.clock())])
        await trio.sleep(99)
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 1
        await trio.sleep(2)
        assert len(gateway.mqtt_sessions.of(gateway.account)) == 0


async def test_losses_of_sessions_whose_clients_are_away_are_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    async with running_gateway(Config(mqtt=Mqtt(max_queued_messages=1))) as gateway:
        for number in range(12):
            away = Peer(gateway, b"away-%d" % number)
            away.subscribe(b"t", 1)
            away.disconnect()
        sensor = Peer(gateway, b"sensor")
        with caplog.at_level(logging.WARNING, "leafgate.mqtt"):
            for packet_id in range(1, 6):
                sensor.publish(b"t", b"", 1, packet_id)
            assert caplog.messages == []
            await trio.sleep(61)
        assert len(caplog.messages) == 11
        assert caplog.messages[0] == (
            "event=dropped client-id='away-0' messages=4 total=4 reason='4: its queue was full while it was away'"
        )
        assert caplog.messages[-1] == "event=dropped sessions=2 messages=8"
        assert await gateway.mqtt_sessions.losses() == (48, 0)
        Peer(gateway, b"away-0", clean_start=True)
        assert await gateway.mqtt_sessions.losses() == (48, 0)


@pytest.mark.parametrize("qos", [0, 1])
async def test_message_above_the_clients_maximum_is_told_of_as_such(
    qos: int, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    async with running_gateway() as gateway:
        small = Peer(gateway, b"small", maximum_packet_size=100)
        small.subscribe(b"t", 1)
        sensor = Peer(gateway, b"sensor")
        for packet_id in range(1, 4):
            sensor.publish(b"t", bytes(200), qos, packet_id)
            await trio.sleep(1)
        await trio.sleep(61)
        (line,) = [line for line in caplog.messages if "event=dropped" in line]
        assert line.endswith("client-id='small' messages=3 total=3 reason='3: larger than its maximum packet size'")
        assert await gateway.mqtt_sessions.losses() == (3, 3)


async def test_cause_of_a_loss_is_that_of_its_moment_and_not_of_the_report(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    """A client that was away, missed messages and is back; then it takes nothing and leaves."""
    limits = Limits(max_payload_bytes=4096, max_pending_bytes=4096)
    async with running_gateway(Config(limits=limits, mqtt=Mqtt(max_queued_messages=1))) as gateway:
        reader = Peer(gateway, b"reader", maximum_packet_size=3000)
        reader.subscribe(b"t", 1)
        reader.disconnect()
        sensor = Peer(gateway, b"sensor")
        for packet_id in range(1, 4):
            sensor.publish(b"t", b"", 1, packet_id)
        reader = Peer(gateway, b"reader", maximum_packet_size=3000)
        reader.subscribe(b"t", 0)
        reader.hear()
        sensor.publish(b"t", bytes(3500))
        await trio.sleep(30)
        reader.sink.room = 0
        for _ in range(5):
            sensor.publish(b"t", bytes(2000))
        reader.disconnect()
        await trio.sleep(31)
        (line,) = [line for line in caplog.messages if "event=dropped" in line]
        assert line.endswith(
            "client-id='reader' messages=6 total=6 reason='2: its queue was full while it was away, "
            "1: larger than its maximum packet size, 3: it takes messages too slowly'"
        )


async def test_client_that_used_up_its_share_of_the_memory_is_told_of_as_such(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    async with running_gateway(Config(limits=Limits(max_memory_bytes=1 << 20))) as gateway:
        away = Peer(gateway, b"away")
        away.subscribe(b"t", 1)
        away.disconnect()
        sensor = Peer(gateway, b"sensor")
        for packet_id in range(1, 11):
            sensor.publish(b"t", bytes(50_000), 1, packet_id)
        await trio.sleep(61)
        (line,) = [line for line in caplog.messages if "event=dropped" in line]
        assert "its share of limits.max-memory-bytes was used up" in line
        assert "queue was full" not in line


async def test_slow_client_is_told_of_as_such(caplog: pytest.LogCaptureFixture, autojump_clock: MockClock):
    async with running_gateway(Config(limits=Limits(max_payload_bytes=4096, max_pending_bytes=4096))) as gateway:
        slow = Peer(gateway, b"slow")
        slow.subscribe(b"t", 0)
        slow.sink.room = 0
        sensor = Peer(gateway, b"sensor")
        for _ in range(5):
            sensor.publish(b"t", bytes(2000))
        await trio.sleep(61)
        (line,) = [line for line in caplog.messages if "event=dropped" in line]
        assert line.endswith("client-id='slow' messages=3 total=3 reason='3: it takes messages too slowly'")


async def test_clients_that_take_each_other_over_are_two_lines_a_minute(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
):
    async with running_gateway() as gateway:
        name = b"twin" * 10_000
        for port in range(100):
            peer = Peer(gateway, name)
            peer.address = ("127.0.0.1", port)
        await trio.sleep(61)
        first, last = [line for line in caplog.messages if "event=take-over" in line]
        assert first.startswith("event=take-over client-id='twintwin")
        assert first.endswith("peer=127.0.0.1:0 new-peer=127.0.0.1:50000 keep-alive=0")
        assert last.endswith("peer=127.0.0.1:98 new-peer=127.0.0.1:50000 keep-alive=0 times=98")
        assert len(first) < 300


async def test_answer_to_the_request_in_a_will_comes_back_with_its_correlation_data():
    async with running_gateway() as gateway:
        asker, answerer = Peer(gateway, b"asker"), Peer(gateway, b"answerer")
        asker.subscribe(b"answers", 1)
        answerer.subscribe(b"w", 1)
        answerer.hear()
        properties = Properties(response_topic=b"answers", correlation_data=b"7")
        will = packets.Will(b"w", b"gone", 1, False, properties)
        Peer(gateway, b"dying", will=will, session_expiry_interval=0).close(CloseReason.READ_ERROR)
        (request,) = answerer.hear()
        assert isinstance(request, Publish)
        assert request.properties == properties
        reply = b"_MQTT5.%b.Nw.answers" % gateway.runtime.names.gateway_id
        gateway.account.router.publish(make_message(reply, b"yes"), gateway.account.port)
        (answer,) = asker.hear()
        assert isinstance(answer, Publish)
        assert answer.properties == Properties(correlation_data=b"7")


CLOUD = bridge_id("cloud")
BRIDGE_LIMITS = Mqtt(max_queued_messages=7, max_queued_bytes=700)


async def test_a_bridge_holds_a_session_within_limits_of_its_own():
    async with running_gateway() as gateway:
        assert gateway.mqtt_sessions is not None
        sessions = gateway.mqtt_sessions.of(gateway.account)
        session = sessions.hold(CLOUD, BRIDGE_LIMITS)
        assert (session.outgoing.max_messages, session.outgoing.max_bytes) == (7, 700)
        assert sessions.hold(CLOUD, BRIDGE_LIMITS) is session
        assert sessions.held() == [session]


async def test_what_waits_for_a_bridge_outlives_the_process_and_its_configuration(tmp_path: Path):
    config = Config(mqtt=Mqtt(max_session_expiry_seconds=3600))
    async with stored_gateway(tmp_path, config) as gateway:
        assert gateway.mqtt_sessions is not None
        session = gateway.mqtt_sessions.of(gateway.account).hold(CLOUD, BRIDGE_LIMITS)
        session.subscribe(packets.Subscription(b"a/#", 1, no_local=True), 0)
        session.note_remote({b"b/#": 2})
        gateway.account.publish(make_message(b"a.b", b"1"))
        await commit(gateway)
    async with stored_gateway(tmp_path, config) as gateway:
        assert gateway.mqtt_sessions is not None
        sessions = gateway.mqtt_sessions.of(gateway.account)
        (session,) = sessions.held()
        assert session.expiry_seconds == NEVER_EXPIRES
        assert (session.subscriptions.keys(), session.remote_filters) == ({b"a/#"}, {b"b/#": 2})
        sessions.release(session)
        gateway.account.publish(make_message(b"a.b", b"2"))
        assert (len(session.outgoing), session.expiry_seconds) == (1, 3600)
        session.note_remote({})
        await commit(gateway)
    async with stored_gateway(tmp_path, config) as gateway:
        assert gateway.mqtt_sessions is not None
        session = gateway.mqtt_sessions.of(gateway.account).hold(CLOUD, BRIDGE_LIMITS)
        assert (len(session.outgoing), session.expiry_seconds) == (1, NEVER_EXPIRES)
        assert (session.subscriptions, session.remote_filters) == ({}, {})
