"""Enhanced authentication (MQTT 5.0, 4.12): where nobody is asked there is no method, and every attempt is refused."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connack, Connect
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import MQTT_5_0, Clients, unique

METHOD = Properties(authentication_method=b"SCRAM-SHA-1", authentication_data=b"n,,n=user")


@pytest.mark.parametrize("method", [b"SCRAM-SHA-1", b"GS2-KRB5", b"", "größe".encode()])
def test_unknown_method_is_refused(clients: Clients, method: bytes) -> None:
    client = clients.open()
    connack = client.connect(unique("method"), properties=Properties(authentication_method=method))
    assert connack.reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD
    assert not connack.session_present
    assert client.rest() == []


def test_authentication_data_of_an_unknown_method_is_refused(clients: Clients) -> None:
    client = clients.open()
    assert client.connect(unique("method"), properties=METHOD).reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD
    assert client.rest() == []


def test_refused_client_leaves_the_one_with_its_name_alone(clients: Clients) -> None:
    client_id = unique("name")
    healthy = clients.connect(client_id=client_id)
    assert clients.open().connect(client_id, properties=METHOD).reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD
    healthy.barrier()


def test_authentication_data_without_a_method_is_a_protocol_error(clients: Clients) -> None:
    client = clients.open()
    client.send(encoder.encode_connect(Connect(MQTT_5_0, b"x", properties=Properties(authentication_data=b"x"))))
    assert client.rest() in ([], [Connack(False, ReasonCode.PROTOCOL_ERROR)])


@pytest.mark.parametrize("code", [ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.REAUTHENTICATE])
def test_auth_without_a_method_in_connect_is_a_protocol_error(clients: Clients, code: ReasonCode) -> None:
    client = clients.connect()
    client.send(encoder.encode_auth(5, code, METHOD))
    client.assert_ended(ReasonCode.PROTOCOL_ERROR)


@pytest.mark.parametrize("packet", [b"\xf0\x00", b"\xf0\x01\x18", b"\xf0\x02\x19\x00"], ids=bytes.hex)
def test_auth_that_names_no_method_is_a_protocol_error(clients: Clients, packet: bytes) -> None:
    client = clients.connect()
    client.send(packet)
    client.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.MALFORMED_PACKET)


@pytest.mark.parametrize("code", [0x00, 0x01, 0x80])
def test_auth_with_a_reason_that_no_client_gives_is_a_protocol_error(clients: Clients, code: int) -> None:
    client = clients.connect()
    method = b"\x15\x00\x01m"
    client.send(bytes((0xF0, 2 + len(method), code, len(method))) + method)
    client.assert_ended(ReasonCode.PROTOCOL_ERROR, ReasonCode.MALFORMED_PACKET)


def test_auth_before_connect_ends_the_connection(clients: Clients) -> None:
    client = clients.open()
    client.send(encoder.encode_auth(5, ReasonCode.CONTINUE_AUTHENTICATION, METHOD))
    assert client.rest() == []


def test_server_speaks_of_no_method_to_a_client_that_has_none(clients: Clients) -> None:
    properties = clients.connect(username=b"user", password=b"secret").connack.properties or Properties()
    assert (properties.authentication_method, properties.authentication_data) == (None, None)
