"""What a CONNECT gets: refusals, limits of the session's life and of packets, and the properties of the CONNACK."""

from pathlib import Path

import pytest

from gateway.mqtt.connecting import capped_expiry, keep_alive_of, session_expiry
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, User
from gateway.storage.stored_session import NEVER_EXPIRES
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, journal_of, stored_gateway


@pytest.mark.parametrize(
    ("version", "clean_start", "asked", "cap", "expiry"),
    [
        (4, True, None, 0, 0),
        (4, False, None, 0, NEVER_EXPIRES),
        (4, False, None, 60, 60),
        (5, False, None, 0, 0),
        (5, True, 70, 60, 60),
        (5, True, 50, 60, 50),
    ],
)
def test_life_of_a_session(version: int, clean_start: bool, asked: int | None, cap: int, expiry: int):
    properties = Properties(session_expiry_interval=asked) if version == 5 else None
    connect = packets.Connect(version, b"a", clean_start=clean_start, properties=properties)
    assert session_expiry(connect, Mqtt(max_session_expiry_seconds=cap)) == expiry


def test_cap_of_zero_is_none():
    assert capped_expiry(NEVER_EXPIRES, Mqtt(max_session_expiry_seconds=0)) == NEVER_EXPIRES


@pytest.mark.parametrize(("asked", "most", "holds"), [(0, 0, 0), (9, 0, 9), (0, 60, 60), (9, 60, 9), (90, 60, 60)])
def test_keep_alive_that_holds(asked: int, most: int, holds: int):
    connect = packets.Connect(5, b"a", keep_alive=asked)
    assert keep_alive_of(connect, Mqtt(max_keep_alive_seconds=most)) == holds


async def test_fault_of_the_disk_refuses_sessions_that_must_be_stored(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        journal_of(gateway).fault = "the disk is full"
        stored, passing = Peer(gateway, b"a"), Peer(gateway, b"b", session_expiry_interval=0)
        assert stored.greeting.reason_code == ReasonCode.QUOTA_EXCEEDED  # type: ignore[attr-defined]
        assert stored.close_reason is CloseReason.STORAGE_FAILURE
        assert passing.greeting.reason_code == 0  # type: ignore[attr-defined]
        will = packets.Will(b"w", b"gone")
        changes = journal_of(gateway).changes
        Peer(gateway, b"c", session_expiry_interval=0, will=will).close(CloseReason.READ_ERROR)
        assert journal_of(gateway).changes == changes
        await commit(gateway)


async def test_fault_of_the_disk_refuses_to_end_a_stored_session_and_holds_nobody_else_up(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        stored = Peer(gateway, b"a")
        will = packets.Will(b"w", b"gone")
        Peer(gateway, b"b", session_expiry_interval=0, will=will)
        await commit(gateway)
        journal_of(gateway).fault = "the disk is full"
        for clean_start in (False, True):
            told = Peer(gateway, b"a", clean_start=clean_start, session_expiry_interval=0)
            assert told.greeting.reason_code == ReasonCode.QUOTA_EXCEEDED  # type: ignore[attr-defined]
        assert stored.close_reason is None
        again = Peer(gateway, b"b", session_expiry_interval=0, will=will)
        assert again.greeting.reason_code == 0  # type: ignore[attr-defined]
        assert not again.withheld
        await commit(gateway)


async def test_nothing_reaches_a_client_before_its_session_is_on_the_disk(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        stored, passing = Peer(gateway, b"a"), Peer(gateway, b"b", session_expiry_interval=0)
        assert stored.withheld
        assert not passing.withheld
        await commit(gateway)
        assert not stored.withheld
        # The end of a session is a promise, too.
        ending = Peer(gateway, b"a", clean_start=True, session_expiry_interval=0)
        assert ending.withheld
        await commit(gateway)
        assert not ending.withheld


async def test_reason_string_is_left_out_where_it_would_be_too_large_for_the_client():
    async with running_gateway(Config(mqtt=Mqtt(max_sessions=1))) as gateway:
        Peer(gateway, b"a")
        told, short = Peer(gateway, b"b"), Peer(gateway, b"b", maximum_packet_size=20)
        assert told.greeting.properties.reason_string == b"too many sessions"  # type: ignore[attr-defined]
        assert short.greeting.reason_code == ReasonCode.QUOTA_EXCEEDED  # type: ignore[attr-defined]
        assert short.greeting.properties is None  # type: ignore[attr-defined]


async def test_client_with_the_longest_client_id_can_be_taken_over():
    async with running_gateway() as gateway:
        old = Peer(gateway, b"\xc3\xa9" * 32_767)
        new = Peer(gateway, b"\xc3\xa9" * 32_767)
        assert old.hear()[-1].reason_code == ReasonCode.SESSION_TAKEN_OVER  # type: ignore[attr-defined]
        assert new.greeting.session_present  # type: ignore[attr-defined]
        assert gateway.mqtt_sessions.of(gateway.account).connected == 1


@pytest.mark.parametrize(("size", "code"), [(10, ReasonCode.SUCCESS), (11, ReasonCode.PACKET_TOO_LARGE)])
async def test_will_is_as_long_as_a_message_of_the_account_may_be(size: int, code: ReasonCode):
    rules = AccountRules(name="$G", max_payload_bytes=10)
    ann = User(name="ann", password=Secret("ann"))
    async with running_gateway(Config(accounts=(rules,), users=(ann,))) as gateway:
        greeting = Peer(gateway, user=b"ann", will=packets.Will(b"w", bytes(size))).greeting
        assert isinstance(greeting, packets.Connack)
        assert greeting.reason_code == code
