"""MQTT 5.0 with mosquitto's three programs: what `-D` sets goes out, what `-F` prints came in."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.mqtt5_peers import paho5_client, told
from tests.integration.mqtt_peers import PATIENCE_SECONDS, MosquittoSub, mosquitto_pub, unique_topic
from tests.integration.mqtt_servers import mqtt_server
from tests.integration.peers import Peer, require_peer

FIVE = ("-V", "mqttv5")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    require_peer("mosquitto_pub")
    with mqtt_server(tmp_path_factory.mktemp("server")) as peer:
        yield peer


class FormattedSub(MosquittoSub):
    """Prints by a format, which begins with %p so that its first message is known."""

    def wait_ready(self) -> None:
        assert self.next_line().startswith("yes")

    def kill(self) -> None:
        self._process.kill()


@contextmanager
def formatted_sub(server: Peer, line: str, *arguments: str) -> Iterator[FormattedSub]:
    subscriber = FormattedSub(server, [*FIVE, "-F", f"%p{line}", *arguments])
    try:
        subscriber.wait_ready()
        yield subscriber
    finally:
        subscriber.close()


def publish(server: Peer, *arguments: str) -> None:
    done = mosquitto_pub(server, *FIVE, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def with_properties(**values: str) -> list[str]:
    words = []
    for name, value in values.items():
        words += ["-D", "publish", name.replace("_", "-"), *value.split("=")]
    return words


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_properties_go_through(server: Peer, qos: str) -> None:
    topic = unique_topic("programs")
    line = " type=%C answer=%R correlation=%D format=%F user=%P identifier=%S qos=%q"
    with formatted_sub(server, line, "-q", qos, "-t", topic, "-D", "subscribe", "subscription-identifier", "9") as sub:
        words = with_properties(
            content_type="text/plain",
            response_topic="answers/here",
            correlation_data="abc",
            payload_format_indicator="1",
            user_property="unit=C",
        )
        publish(server, "-q", qos, "-t", topic, "-m", "21.5", *words)
        assert sub.next_line() == (
            f"21.5 type=text/plain answer=answers/here correlation=abc format=1 user=unit:C identifier=9 qos={qos}"
        )


def test_topic_alias_is_taken(server: Peer) -> None:
    topic = unique_topic("alias")
    with formatted_sub(server, " %t", "-t", topic) as sub:
        publish(server, "-t", topic, "-m", "1", "--repeat", "3", *with_properties(topic_alias="1"))
        assert [sub.next_line() for _ in range(3)] == [f"1 {topic}"] * 3


def test_message_expiry_is_passed_on(server: Peer) -> None:
    topic = unique_topic("expiry")
    publish(server, "-t", topic, "-m", "kept", "-r", "-q", "1", *with_properties(message_expiry_interval="100"))
    with formatted_sub(server, " %E %r", "-t", topic) as sub:
        payload, left, retained = sub.next_line().split()
        assert (payload, retained) == ("kept", "1")
        assert 90 <= int(left) <= 100


def test_session_expiry_keeps_what_comes_meanwhile(server: Peer) -> None:
    topic = unique_topic("session")
    session = [
        "-i",
        topic,
        "-c",
        "-x",
        "300",
        "-q",
        "1",
        "-t",
        topic,
        "-h",
        "127.0.0.1",
        "-p",
        str(server.ports["mqtt"]),
    ]
    program = require_peer("mosquitto_sub")
    # -E leaves after the SUBACK.
    subprocess.run([program, *FIVE, *session, "-E"], check=True, timeout=PATIENCE_SECONDS)
    for number in range(5):
        publish(server, "-q", "1", "-t", topic, "-m", str(number))
    command = [program, *FIVE, *session, "-C", "5"]
    done = subprocess.run(command, check=True, timeout=PATIENCE_SECONDS, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1", "2", "3", "4"]


def test_will_properties_are_kept(server: Peer) -> None:
    topic = unique_topic("will")
    with paho5_client(server) as display:
        display.ask(topic, qos=1)
        will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", "1"]
        with formatted_sub(server, "", *will, "-D", "will", "user-property", "why", "cut") as sub:
            sub.kill()
        message = display.next_message()
        assert (message.payload, told(message)) == (b"gone", {"UserProperty": [("why", "cut")]})


def test_refused_publish_says_why(server: Peer) -> None:
    done = mosquitto_pub(server, *FIVE, "-q", "1", "-t", unique_topic("nobody"), "-m", "1", "-d")
    assert done.returncode == 0
    assert "received PUBACK" in done.stdout
    assert "RC:16" in done.stdout


def test_request_program_is_answered(server: Peer) -> None:
    topic = unique_topic("service")
    program = require_peer("mosquitto_rr")
    with paho5_client(server) as device:
        device.ask(topic, qos=1)

        def answer() -> None:
            request = told(device.next_message())
            device.paho.publish(request["ResponseTopic"], b"noon", 1)

        answering = threading.Thread(target=answer)
        answering.start()
        port = str(server.ports["mqtt"])
        words = ["-h", "127.0.0.1", "-p", port, "-q", "1", "-t", topic, "-e", f"{topic}/answer", "-m", "time?"]
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        answering.join()
    assert (done.returncode, done.stdout) == (0, "noon\n")
