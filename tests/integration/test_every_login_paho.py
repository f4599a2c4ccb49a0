"""paho-mqtt comes in by every login that there is, inside TLS, and by nothing else."""

import queue
import ssl
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.integration.locked_doors import MQTT_LOGINS, LockedDoors, Login, locked_doors, loose_ends
from tests.integration.mqtt_peers import MQTT_3_1_1, MQTT_5_0, PATIENCE_SECONDS, unique_topic


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


class Visitor:
    """A client that tells what becomes of it: what was said at its CONNECT, the end of the connection, a message."""

    def __init__(self, doors: LockedDoors, login: Login, version: int) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.paho = paho.Client(paho.CallbackAPIVersion.VERSION2, "", protocol=version, reconnect_on_failure=False)
        self.paho.on_connect = lambda _client, _data, _flags, reason, _more: self.events.put(("connected", reason))
        self.paho.on_disconnect = lambda _client, _data, _flags, reason, _more: self.events.put(("lost", reason))
        self.paho.on_message = lambda _client, _data, message: self.events.put(("message", message.payload))
        context = ssl.create_default_context(cafile=doors.authority(login))
        certificate = doors.certificate(login)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        self.paho.tls_set_context(context)
        if login.user is not None:
            self.paho.username_pw_set(login.user, login.password or login.bearer)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()
        self.paho._reset_sockets()  # The pair that wakes its loop would wait, unclosed, for a garbage collection.


def come_in(doors: LockedDoors, login: Login, version: int) -> Any:
    """What comes back to a client that is in; raises what keeps it out."""
    visitor = Visitor(doors, login, version)
    topic = unique_topic("login")
    try:
        visitor.paho.connect(*doors.door(login).address("mqtt"))
        visitor.paho.loop_start()
        event, told = visitor.events.get(timeout=PATIENCE_SECONDS)
        if event != "connected" or told != 0:
            raise PermissionError(f"{event}: {told}")
        visitor.paho.subscribe(topic, 1)
        visitor.paho.publish(topic, "there", 1)
        return visitor.events.get(timeout=PATIENCE_SECONDS)
    finally:
        visitor.close()


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("name", MQTT_LOGINS)
def test_login(doors: LockedDoors, name: str, version: int) -> None:
    login = doors.login(name)
    if login.who is not None:
        assert come_in(doors, login, version) == ("message", b"there")
        return
    with loose_ends():
        try:
            come_in(doors, login, version)
        except OSError as error:
            told = str(error)
        else:
            pytest.fail("it came in")
    doors.check_secrets(login, told)
