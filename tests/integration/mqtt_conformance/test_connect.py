"""How connections begin: CONNECT, its answer, client identifiers, take-over."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connack, Connect, Disconnect, Pingresp, Will
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.marks import all_versions, versions
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_3_1_1, MQTT_5_0, Clients, RawClient, unique
from tests.integration.mqtt_conformance.server import MAX_KEEP_ALIVE


def assert_refused(client: RawClient, *reason_codes: int) -> None:
    """The connection ends, perhaps after a CONNACK with such a reason, which 3.1.1 has for few causes."""
    packets = client.rest()
    if packets:
        (connack,) = packets
        assert isinstance(connack, Connack)
        assert not connack.session_present
        assert connack.reason_code in reason_codes


@all_versions
def test_connection_is_accepted_with_a_connack(clients: Clients, version: int) -> None:
    connack = clients.open(version).connect(unique("new"))
    assert (connack.session_present, connack.reason_code) == (False, ReasonCode.SUCCESS)


@pytest.mark.parametrize(
    "packet",
    [
        encoder.PINGREQ,
        encoder.encode_publish(MQTT_3_1_1, b"a", b"b", 0, 0, False, False),
        encoder.encode_disconnect(MQTT_3_1_1),
        b"\xf0\x00",
    ],
    ids=["PINGREQ", "PUBLISH", "DISCONNECT", "AUTH"],
)
def test_first_packet_must_be_connect(clients: Clients, packet: bytes) -> None:
    client = clients.open()
    client.send(packet)
    assert client.rest() == []


@versions
def test_second_connect_ends_the_connection(clients: Clients, version: int) -> None:
    client_id = unique("twice")
    client = clients.connect(version, client_id)
    client.send(encoder.encode_connect(Connect(version, client_id)))
    client.assert_ended(ReasonCode.PROTOCOL_ERROR)


def test_other_protocol_name_ends_the_connection(clients: Clients) -> None:
    client = clients.open()
    client.send(encoder.encode_connect(Connect(MQTT_5_0, b"x")).replace(b"MQTT", b"MQTX"))
    assert_refused(client, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)


@pytest.mark.parametrize("level", [1, 2, 6, 9, 127])
def test_unknown_protocol_level_is_refused(clients: Clients, level: int) -> None:
    version = MQTT_5_0 if level > MQTT_5_0 else MQTT_3_1_1
    packet = bytearray(encoder.encode_connect(Connect(version, b"x")))
    packet[8] = level
    client = clients.open(version)
    client.send(bytes(packet))
    assert client.rest() == [Connack(False, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)]


CONNECT_FLAGS = 9
# Changed connect flags of a CONNECT without will, user name and password.
BAD_FLAGS = {
    "reserved flag": 0x03,
    "will QoS without a will": 0x0A,
    "will retain without a will": 0x22,
    "will QoS 3": 0x1E,
    "will that is missing": 0x06,
    "user name that is missing": 0x82,
    "password that is missing": 0xC2,
}


@versions
@pytest.mark.parametrize("flags", BAD_FLAGS.values(), ids=BAD_FLAGS)
def test_connect_whose_flags_are_wrong_is_refused(clients: Clients, version: int, flags: int) -> None:
    packet = bytearray(encoder.encode_connect(Connect(version, b"x", keep_alive=60)))
    packet[CONNECT_FLAGS] = flags
    client = clients.open(version)
    client.send(bytes(packet))
    if version == MQTT_5_0:
        assert_refused(client, ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)
    else:
        assert client.rest() == []


@versions
def test_connect_with_fields_that_its_flags_do_not_tell_of_is_refused(clients: Clients, version: int) -> None:
    packet = bytearray(
        encoder.encode_connect(Connect(version, b"x", keep_alive=60, username=b"user", will=Will(b"t", b"p")))
    )
    packet[CONNECT_FLAGS] = 0x02
    client = clients.open(version)
    client.send(bytes(packet))
    assert_refused(client, ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)


def ill_formed(version: int) -> list[Connect]:
    surrogate = b"\xed\xa0\x80"
    return [
        Connect(version, surrogate),
        Connect(version, b"with\0nul"),
        Connect(version, b"x", will=Will(surrogate, b"")),
        Connect(version, b"x", username=surrogate),
    ]


@versions
@pytest.mark.parametrize("case", range(4), ids=["client id", "client id with NUL", "will topic", "user name"])
def test_connect_with_ill_formed_text_is_refused(clients: Clients, version: int, case: int) -> None:
    client = clients.open(version)
    client.send(encoder.encode_connect(ill_formed(version)[case]))
    assert_refused(
        client, ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    )


def test_password_needs_no_user_name_since_5_0(clients: Clients) -> None:
    clients.connect(password=b"secret").barrier()


def test_password_without_user_name_is_refused_before_5_0(clients: Clients) -> None:
    client = clients.open(MQTT_3_1_1)
    client.send(encoder.encode_connect(Connect(MQTT_3_1_1, b"x", keep_alive=60, password=b"secret")))
    assert client.rest() == []


CLIENT_IDS = [
    b"0123456789abcdefghijklm",
    b"nopqrstuvwxyzABCDEFGHIJ",
    b"KLMNOPQRSTUVWXYZ",
    "with spaces, dots. * > / + # und Umläuten".encode(),
    b"x" * 250,
    "😀\ufeff漢字".encode(),
]


@versions
@pytest.mark.parametrize("client_id", CLIENT_IDS, ids=lambda client_id: client_id.decode()[:12])
def test_any_legal_client_identifier_names_a_session(clients: Clients, version: int, client_id: bytes) -> None:
    client_id += f" {version}".encode()
    clients.resume(version, client_id).disconnect()
    resumed = clients.resume(version, client_id)
    assert resumed.connack.session_present
    other = clients.resume(version, client_id + b"x")
    assert not other.connack.session_present


def test_client_without_an_identifier_is_given_one_that_nobody_has(clients: Clients) -> None:
    names = []
    for _ in range(3):
        properties = clients.connect(client_id=b"").connack.properties
        assert properties is not None
        names.append(properties.assigned_client_identifier)
    assert None not in names
    assert len(set(names)) == 3


def test_assigned_client_identifier_names_the_session(clients: Clients) -> None:
    keep = Properties(session_expiry_interval=LONG)
    client = clients.connect(client_id=b"", clean_start=False, properties=keep)
    assert client.connack.properties is not None
    name = client.connack.properties.assigned_client_identifier
    assert name
    client.disconnect()
    resumed = clients.resume(MQTT_5_0, name)
    assert resumed.connack.session_present
    assert resumed.connack.properties is None or resumed.connack.properties.assigned_client_identifier is None


def test_clients_without_an_identifier_live_side_by_side(clients: Clients) -> None:
    first, second = (clients.connect(MQTT_3_1_1, b"") for _ in range(2))
    first.barrier()
    second.barrier()


def test_session_without_an_identifier_is_refused_before_5_0(clients: Clients) -> None:
    client = clients.open(MQTT_3_1_1)
    connack = client.connect(b"", clean_start=False)
    assert connack == Connack(False, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    assert client.rest() == []


@pytest.mark.parametrize("old", [MQTT_3_1_1, MQTT_5_0], ids=["from 3.1.1", "from 5.0"])
@pytest.mark.parametrize("new", [MQTT_3_1_1, MQTT_5_0], ids=["by 3.1.1", "by 5.0"])
def test_newer_connection_takes_a_client_identifier_over(clients: Clients, old: int, new: int) -> None:
    client_id = unique("taken")
    before = clients.connect(old, client_id)
    after = clients.connect(new, client_id)
    before.assert_ended(ReasonCode.SESSION_TAKEN_OVER)
    after.barrier()


@versions
def test_what_follows_an_accepted_connect_at_once_is_handled(clients: Clients, version: int) -> None:
    client = clients.open(version)
    client.send(encoder.encode_connect(Connect(version, unique("hasty"), keep_alive=60)), encoder.PINGREQ)
    assert isinstance(client.receive(), Connack)
    assert isinstance(client.receive(), Pingresp)


@versions
def test_what_follows_a_refused_connect_is_not_handled(clients: Clients, version: int) -> None:
    topic = unique("refused")
    watcher = clients.connect(version)
    watcher.subscribe(topic)
    hasty = clients.open(version)
    packet = bytearray(encoder.encode_connect(Connect(version, unique("hasty"), keep_alive=60)))
    packet[CONNECT_FLAGS] |= 0x01
    hasty.send(bytes(packet), encoder.encode_publish(version, topic, b"no", 0, 0, False, False))
    assert_refused(hasty, ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)
    watcher.assert_silence()


@versions
def test_clean_start_discards_the_session(clients: Clients, version: int) -> None:
    client_id, topic = unique("clean"), unique("clean")
    before = clients.resume(version, client_id)
    before.subscribe(topic, 1)
    before.disconnect()
    after = clients.connect(version, client_id, clean_start=True)
    assert not after.connack.session_present
    clients.connect(version).publish(topic, b"no", 1)
    after.assert_silence()


@versions
def test_session_present_tells_of_a_session(clients: Clients, version: int) -> None:
    client_id = unique("present")
    first = clients.resume(version, client_id)
    assert not first.connack.session_present
    first.disconnect()
    assert clients.resume(version, client_id).connack.session_present


def test_connack_properties_are_sound(clients: Clients) -> None:
    properties = clients.connect().connack.properties or Properties()
    # What is absent is available; where it is there, it says so.
    for available in (
        properties.retain_available,
        properties.wildcard_subscription_available,
        properties.subscription_identifiers_available,
        properties.shared_subscription_available,
    ):
        assert available in (None, 1)
    assert properties.maximum_qos is None
    assert properties.receive_maximum != 0
    assert properties.assigned_client_identifier is None
    assert properties.authentication_method is None
    assert properties.session_expiry_interval in (None, 0)


def test_server_keep_alive_caps_what_the_client_asked_for(clients: Clients) -> None:
    long = clients.connect(keep_alive=MAX_KEEP_ALIVE + 1).connack.properties
    assert long is not None
    assert long.server_keep_alive == MAX_KEEP_ALIVE
    endless = clients.connect(keep_alive=0).connack.properties
    assert endless is not None
    assert endless.server_keep_alive == MAX_KEEP_ALIVE
    short = clients.connect(keep_alive=30).connack.properties or Properties()
    assert short.server_keep_alive is None


def test_server_sends_no_disconnect_before_its_connack(clients: Clients) -> None:
    client = clients.open()
    client.send(encoder.encode_publish(MQTT_5_0, b"a", b"", 0, 0, False, False))
    assert not any(isinstance(packet, Disconnect) for packet in client.rest())
