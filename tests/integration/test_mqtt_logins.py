"""MQTT clients that say who they are: by user and password, token, or SCRAM; and whose client ids and sessions are."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import scramp

from protocols.mqtt import encoder
from protocols.mqtt.packets import Auth, Connack, Connect, Disconnect
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import MQTT_3_1, MQTT_3_1_1, MQTT_5_0, Clients, RawClient, unique
from tests.integration.mqtt_peers import PahoClient, mosquitto_pub
from tests.integration.node_peers import node_client
from tests.integration.peers import Peer, gateway

# bcrypt of "wonderland", at the lowest cost.
HASH = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"
# Of "pencil", as PostgreSQL would write it.
VERIFIER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
CONFIG = f"""
[authentication]
token = "a-long-token"
timeout-seconds = 5
[[users]]
name = "anna"
password = "{HASH}"
[[users]]
name = "bert"
password = "plain-words"
[[users]]
name = "shed"
password = "shed-words"
client-id-prefix = "shed-"
[[users]]
name = "scram"
scram = "{VERIFIER}"
[[users]]
name = "wired"
password = "wired-words"
connection-types = ["nats"]
"""
METHOD = b"SCRAM-SHA-256"
PROTOCOLS = ("nats", "mqtt", "websocket")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), protocols=PROTOCOLS, config=CONFIG) as peer:
        yield peer
        assert "Traceback" not in peer.log()
        for secret in ("wonderland", "plain-words", "a-long-token", "shed-words", "not-the-one"):
            assert secret not in peer.log()


@pytest.fixture
def clients(edge: Peer) -> Iterator[Clients]:
    with Clients(edge.address("mqtt")) as made:
        yield made


def user(name: str, password: str) -> dict[str, bytes]:
    return {"username": name.encode(), "password": password.encode()}


ANNA, BERT = user("anna", "wonderland"), user("bert", "plain-words")
SHED = user("shed", "shed-words")


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize(
    "login",
    [ANNA, BERT, {"password": b"a-long-token"}, user("", "a-long-token")],
    ids=["hash", "plain", "token", "token of nobody"],
)
def test_client_that_says_who_it_is_comes_in(edge: Peer, version: int, login: dict[str, bytes]):
    if version != MQTT_5_0 and "username" not in login:
        login = {"username": b"", **login}  # [MQTT-3.1.2-22]
    with RawClient(edge.address("mqtt"), version) as client:
        assert client.connect(unique("in"), **login).reason_code == 0


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize(
    ("login", "code"),
    [
        ({}, ReasonCode.NOT_AUTHORIZED),
        (user("anna", "not-the-one"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("anna", ""), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("nobody", "not-the-one"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("nobody", "a.b.c"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("", "not-the-one"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("scram", "pencil"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
        (user("wired", "wired-words"), ReasonCode.BAD_USER_NAME_OR_PASSWORD),
    ],
    ids=["nothing", "password", "empty password", "user", "user with a JWT", "token", "no password to know", "door"],
)
def test_client_that_says_something_else_does_not(edge: Peer, version: int, login: dict[str, bytes], code: ReasonCode):
    with RawClient(edge.address("mqtt"), version) as client:
        connack = client.connect(unique("out"), **login)
        # The decoder has read the return code of older versions as the reason code that it stands for.
        assert connack == Connack(False, code, connack.properties)
        assert client.rest() == []


def test_refusals_are_told_in_the_log(tmp_path: Path):
    with (
        gateway(tmp_path, protocols=("mqtt",), config=CONFIG) as edge,
        Clients(edge.address("mqtt")) as clients,
    ):
        clients.open().connect(b"x", **user("mallory", "not-the-one"))
        edge.wait_for_log("event=refused kind=mqtt peer=127.0.0.1")
        assert "user='mallory' reason='no such user'" in edge.log()
        clients.connect(client_id=b"mine", **ANNA)
        clients.open().connect(b"mine", **BERT)
        edge.wait_for_log("the client id is another user's: 'mine'")
        clients.open().connect(b"barn", **SHED)
        edge.wait_for_log("the client id has not the prefix of this user's: 'barn'")


def test_clients_of_others(edge: Peer):
    with listening(edge) as listener:
        listener.subscribe("who/#", 1)
        for version in (MQTT_3_1_1, MQTT_5_0):
            publisher = PahoClient(version=version)
            publisher.paho.username_pw_set("anna", "wonderland")
            assert publisher.connect(edge) == 0
            publisher.publish("who/paho", str(version), 1)
            publisher.close()
            assert listener.next_pair() == ("who/paho", str(version).encode())
        login = ("-u", "anna", "-P", "wonderland")
        assert mosquitto_pub(edge, "-t", "who/mosquitto", "-m", "hi", *login).returncode == 0
        assert listener.next_pair() == ("who/mosquitto", b"hi")
        asyncio.run(publish_by_aiomqtt(edge, "who/aiomqtt", "wonderland"))
        assert listener.next_pair() == ("who/aiomqtt", b"hi")
        url = edge.url("websocket", "ws").replace("//", "//anna:wonderland@") + "/mqtt"
        with node_client("mqtt_client.mjs", url) as node:
            node.call("publish", topic="who/node", payload="hi", qos=1, retain=False)
            assert listener.next_pair() == ("who/node", b"hi")


def test_clients_of_others_with_another_password_are_told(edge: Peer):
    told = mosquitto_pub(edge, "-t", "x", "-m", "hi", "-u", "anna", "-P", "not-the-one")
    assert told.returncode != 0
    assert "not authori" in told.stderr.lower() or "user name" in told.stderr.lower()
    refused = PahoClient(version=MQTT_5_0)
    refused.paho.username_pw_set("anna", "not-the-one")
    assert refused.connect(edge).value == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    refused.close()
    with pytest.raises(aiomqtt.MqttError, match=r"(?i)user name or password"):
        asyncio.run(publish_by_aiomqtt(edge, "x", "not-the-one"))


@contextmanager
def listening(edge: Peer) -> Iterator[PahoClient]:
    client = PahoClient()
    client.paho.username_pw_set("bert", "plain-words")
    try:
        assert client.connect(edge) == 0
        yield client
    finally:
        client.close()


async def publish_by_aiomqtt(edge: Peer, topic: str, password: str) -> None:
    host, port = edge.address("mqtt")
    async with aiomqtt.Client(host, port, username="anna", password=password) as client:
        await client.publish(topic, b"hi", 1)


# Client ids and sessions.


def test_client_ids_of_a_bound_user_have_its_prefix(clients: Clients):
    assert clients.open().connect(b"shed-1", **SHED).reason_code == 0
    assert clients.open().connect(b"barn-1", **SHED).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    given = clients.open().connect(b"", **SHED)
    assert given.properties is not None
    assert (given.properties.assigned_client_identifier or b"").startswith(b"shed-auto-")


def test_client_ids_of_a_bound_user_in_older_versions(edge: Peer):
    with RawClient(edge.address("mqtt"), MQTT_3_1_1) as client:
        assert client.connect(b"barn-2", **SHED).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert client.rest() == []


def test_nobody_takes_over_the_session_of_another_user(clients: Clients):
    client_id = unique("mine")
    owner = clients.open()
    lasting = Properties(session_expiry_interval=300)
    owner.connect(client_id, properties=lasting, **ANNA)
    for login in (BERT, {"password": b"a-long-token"}):
        thief = clients.open()
        assert thief.connect(client_id, **login).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert thief.rest() == []
    owner.barrier()
    owner.close()
    # Also while she is away.
    assert clients.open().connect(client_id, **BERT).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    back = clients.open().connect(client_id, clean_start=False, properties=lasting, **ANNA)
    assert (back.reason_code, back.session_present) == (0, True)


def test_session_on_the_disk_belongs_to_the_user_that_made_it(tmp_path: Path):
    config = CONFIG
    name = tmp_path / "data"
    lasting = Properties(session_expiry_interval=300)

    def connect(edge: Peer, **login: bytes) -> Connack:
        with RawClient(edge.address("mqtt")) as client:
            return client.connect(b"mine", clean_start=False, properties=lasting, **login)

    def restarted(config: str) -> Any:
        return gateway(tmp_path / "edge", protocols=("mqtt",), config=config, data_directory=name)

    with restarted("") as edge:
        assert connect(edge).reason_code == 0
    with restarted(config) as edge:
        # What was there before there were users is of whoever comes first.
        assert connect(edge, **ANNA).session_present
        assert connect(edge, **BERT).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    with restarted(config) as edge:
        assert connect(edge, **BERT).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert connect(edge, **ANNA).session_present


# Enhanced authentication.


def scram(name: str = "scram", password: str = "pencil") -> scramp.ScramClient:
    return scramp.ScramClient(["SCRAM-SHA-256"], name, password)


def by_scram(data: str) -> Properties:
    return Properties(authentication_method=METHOD, authentication_data=data.encode())


def data_of(packet: Any) -> str:
    assert packet.properties.authentication_method == METHOD
    return packet.properties.authentication_data.decode()


def begin(client: RawClient, login: scramp.ScramClient, client_id: bytes = b"") -> None:
    """Up to the challenge."""
    connect = Connect(MQTT_5_0, client_id or unique("scram"), properties=by_scram(login.get_client_first()))
    client.send(encoder.encode_connect(connect))
    login.set_server_first(data_of(client.answer(Auth)))


def go_on(client: RawClient, data: str, code: ReasonCode = ReasonCode.CONTINUE_AUTHENTICATION) -> None:
    client.send(encoder.encode_auth(MQTT_5_0, code, by_scram(data)))


@pytest.mark.parametrize(("name", "password"), [("scram", "pencil"), ("bert", "plain-words")])
def test_client_comes_in_by_scram_and_again(clients: Clients, name: str, password: str):
    client, login = clients.open(), scram(name, password)
    begin(client, login)
    go_on(client, login.get_client_final())
    connack = client.answer(Connack)
    assert connack.reason_code == 0
    login.set_server_final(data_of(connack))  # Raises unless we are who knows the verifier.
    client.barrier()
    again = scram(name, password)
    go_on(client, again.get_client_first(), ReasonCode.REAUTHENTICATE)
    again.set_server_first(data_of(client.answer(Auth)))
    client.barrier()  # What else goes on goes on.
    go_on(client, again.get_client_final())
    done = client.answer(Auth)
    assert done.reason_code == 0
    again.set_server_final(data_of(done))
    client.barrier()


@pytest.mark.parametrize(
    ("name", "password"),
    [("scram", "not-the-one"), ("nobody", "pencil"), ("anna", "wonderland"), ("wired", "wired-words")],
)
def test_client_that_does_not_know_the_password_does_not(clients: Clients, name: str, password: str):
    client, login = clients.open(), scram(name, password)
    begin(client, login)  # Whoever it is: there is a challenge.
    go_on(client, login.get_client_final())
    assert client.rest() == [Connack(False, ReasonCode.NOT_AUTHORIZED)]


def test_second_login_of_somebody_else_ends_the_connection(clients: Clients):
    client, login = clients.open(), scram()
    begin(client, login)
    go_on(client, login.get_client_final())
    assert client.answer(Connack).reason_code == 0
    other = scram("bert", "plain-words")
    go_on(client, other.get_client_first(), ReasonCode.REAUTHENTICATE)
    other.set_server_first(data_of(client.answer(Auth)))
    go_on(client, other.get_client_final())
    [farewell] = client.rest()
    assert isinstance(farewell, Disconnect)
    assert farewell.reason_code == ReasonCode.NOT_AUTHORIZED


def test_second_login_with_another_method_is_a_protocol_error(clients: Clients):
    client, login = clients.open(), scram()
    begin(client, login)
    go_on(client, login.get_client_final())
    assert client.answer(Connack).reason_code == 0
    other = Properties(authentication_method=b"SCRAM-SHA-1", authentication_data=b"n,,n=scram,r=abc")
    client.send(encoder.encode_auth(MQTT_5_0, ReasonCode.REAUTHENTICATE, other))
    client.assert_ended(ReasonCode.PROTOCOL_ERROR)


def test_second_login_that_fails_ends_the_connection(clients: Clients):
    client, login = clients.open(), scram()
    begin(client, login)
    go_on(client, login.get_client_final())
    assert client.answer(Connack).reason_code == 0
    other = scram("scram", "not-the-one")
    go_on(client, other.get_client_first(), ReasonCode.REAUTHENTICATE)
    other.set_server_first(data_of(client.answer(Auth)))
    go_on(client, other.get_client_final())
    [farewell] = client.rest()
    assert isinstance(farewell, Disconnect)
    assert farewell.reason_code == ReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("most", [20, 100, 200])
def test_login_never_takes_a_larger_packet_than_the_client(clients: Clients, most: int):
    client, login = clients.open(), scram()
    properties = by_scram(login.get_client_first())
    properties.maximum_packet_size = most
    client.send(encoder.encode_connect(Connect(MQTT_5_0, unique("small"), properties=properties)))
    packet = client.receive()
    if most < 200:
        assert isinstance(packet, Connack)
        assert packet.reason_code == ReasonCode.PACKET_TOO_LARGE
        assert client.rest() == []
    else:
        assert isinstance(packet, Auth)


def test_method_that_there_is_not(clients: Clients):
    connect = clients.open().connect(unique("x"), properties=Properties(authentication_method=b"SCRAM-SHA-1"))
    assert connect.reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD


@pytest.mark.parametrize(
    "packets",
    [
        [encoder.encode_publish(MQTT_5_0, b"a", b"x", 0, 0, False, False)],
        [encoder.PINGREQ],
        [encoder.encode_auth(MQTT_5_0, ReasonCode.REAUTHENTICATE, by_scram("n,,n=scram,r=abc"))],
        [encoder.encode_auth(MQTT_5_0, ReasonCode.CONTINUE_AUTHENTICATION, Properties(authentication_method=b"other"))],
    ],
    ids=["publish", "ping", "another beginning", "another method"],
)
def test_other_packet_amid_the_login_is_a_protocol_error(clients: Clients, packets: list[bytes]):
    client = clients.open()
    begin(client, scram())
    client.send(*packets)
    [connack] = client.rest()
    assert isinstance(connack, Connack)
    assert connack.reason_code == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("rest", [encoder.encode_disconnect(MQTT_5_0), b"\xf0\x80\x80\x80\x80\x80"])
def test_connection_may_end_amid_the_login(clients: Clients, rest: bytes):
    client = clients.open()
    begin(client, scram())
    client.send(rest)
    assert client.rest() == []


def test_message_that_is_none_is_refused(clients: Clients):
    client = clients.open()
    begin(client, scram())
    go_on(client, "no proof")
    [connack] = client.rest()
    assert isinstance(connack, Connack)
    assert connack.reason_code == ReasonCode.NOT_AUTHORIZED
