"""Bridges of the gateway to a real mosquitto: both protocol versions, both directions, prefixes, retained messages."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.integration.mqtt5_peers import paho5_client
from tests.integration.mqtt_peers import paho_client
from tests.integration.peers import Peer, gateway, mosquitto, wait_until
from tests.patience import PATIENCE_SECONDS

UP = "event=up url="


@dataclass(frozen=True)
class Form:
    """How the gateway introduces itself to the broker."""

    version: str
    private: bool = False

    def keys(self) -> str:
        return f'version = "{self.version}"\ntry-private = {str(self.private).lower()}'


NEW, PLAIN, PRIVATE = Form("5"), Form("3.1.1"), Form("3.1.1", private=True)
FORMS = [pytest.param(NEW, id="5.0"), pytest.param(PLAIN, id="3.1.1"), pytest.param(PRIVATE, id="3.1.1 private")]
TOPICS = (
    ("up/#", "out", 2, "", "site-7/"),
    ("#", "in", 2, "down/", "orders/"),
    ("both/#", "both", 1, "", ""),
    ("", "out", 1, "alarm/here", "alarm/site-7"),
)


def topics(*entries: tuple[str, str, int, str, str]) -> str:
    tables = [
        f"{{ filter = {json.dumps(topic_filter)}, direction = {json.dumps(direction)}, qos = {qos}, "
        f"local-prefix = {json.dumps(local)}, remote-prefix = {json.dumps(remote)} }}"
        for topic_filter, direction, qos, local, remote in entries
    ]
    return f"topics = [{', '.join(tables)}]"


def bridge(url: str, *more: str, name: str = "cloud", entries: tuple[Any, ...] = TOPICS) -> str:
    """The configuration of a bridge that is quick to try again."""
    lines = ["[[bridges]]", f'name = "{name}"', f'urls = ["{url}"]', "reconnect-min-seconds = 0.05", topics(*entries)]
    return "\n".join((*lines, "reconnect-max-seconds = 0.2", *more)) + "\n"


def broker_url(broker: Peer, scheme: str = "mqtt", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{broker.ports['mqtt']}"


@contextmanager
def edge_of(directory: Path, config: str, **options: Any) -> Iterator[Peer]:
    """A gateway whose bridge is up."""
    with gateway(directory, protocols=("mqtt", "nats"), config=config, **options) as edge:
        edge.wait_for_log(UP)
        yield edge


def status(edge: Peer, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}/{path}") as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as peer:
        yield peer


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture(scope="module")
def edge(broker: Peer, form: Form, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    config = bridge(broker_url(broker), form.keys())
    with edge_of(directory, config, data_directory=directory / "data", monitoring=True) as peer:
        yield peer


def test_messages_go_out_under_the_prefix_of_the_other_side(broker: Peer, edge: Peer) -> None:
    with paho_client(broker) as far, paho_client(edge) as near:
        far.subscribe("site-7/#", 2)
        for qos in (0, 1, 2):
            near.publish("up/kitchen/temp 1", b"%d" % qos, qos)
            message = far.next_message()
            assert (message.topic, message.payload, message.qos) == ("site-7/up/kitchen/temp 1", b"%d" % qos, qos)


def test_messages_come_in_under_the_prefix_of_this_side(broker: Peer, edge: Peer) -> None:
    with paho_client(broker) as far, paho_client(edge) as near:
        near.subscribe("down/#", 2)
        for qos in (0, 1, 2):
            far.publish("orders/lamp", b"%d" % qos, qos)
            message = near.next_message()
            assert (message.topic, message.payload, message.qos) == ("down/lamp", b"%d" % qos, qos)


def test_a_single_topic_is_renamed(broker: Peer, edge: Peer) -> None:
    with paho_client(broker) as far, paho_client(edge) as near:
        far.subscribe("alarm/#", 1)
        near.publish("alarm/there", b"no", 1)
        near.publish("alarm/here", b"fire", 1)
        assert far.next_pair() == ("alarm/site-7", b"fire")


def test_messages_of_nats_clients_pass_like_those_of_mqtt(broker: Peer, edge: Peer) -> None:
    async def exchange() -> None:
        near = await nats.connect(f"nats://127.0.0.1:{edge.ports['nats']}")
        inbox = await near.subscribe("down.>")
        await near.flush()
        await near.publish("up.nats.temp", b"21.5", headers={"unit": "C"})
        await near.flush()
        message = await asyncio.to_thread(far.next_message)
        assert (message.topic, message.payload, message.qos) == ("site-7/up/nats/temp", b"21.5", 1)
        await asyncio.to_thread(far.publish, "orders/nats", b"on", 1)
        assert (await inbox.next_msg(PATIENCE_SECONDS)).subject == "down.nats"
        await near.close()

    with paho_client(broker) as far:
        far.subscribe("site-7/#", 2)
        asyncio.run(exchange())


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], indirect=True)
def test_a_message_does_not_come_back(broker: Peer, edge: Peer, form: Form) -> None:
    """3.1.1 without the bit has no words for it."""
    with paho_client(broker) as far, paho_client(edge) as near:
        far.subscribe("both/#", 1)
        near.subscribe("both/#", 1)
        near.publish("both/near", b"1", 1)
        assert far.next_pair() == ("both/near", b"1")
        far.publish("both/far", b"2", 1)
        assert [near.next_pair() for _ in range(2)] == [("both/near", b"1"), ("both/far", b"2")]
        near.publish("both/last", b"3", 1)
        assert [far.next_pair() for _ in range(2)] == [("both/far", b"2"), ("both/last", b"3")]
        assert near.next_pair() == ("both/last", b"3")
        near.nothing_more()
        far.nothing_more()


def test_retain_flags_pass_both_ways(broker: Peer, edge: Peer, form: Form) -> None:
    with paho_client(broker) as far, paho_client(edge) as near:
        far.subscribe("site-7/#", 1)
        near.subscribe("down/#", 1)
        near.publish("up/state", b"ok", 1, retain=True)
        assert far.next_pair() == ("site-7/up/state", b"ok")
        far.publish("orders/mode", b"day", 1, retain=True)
        assert near.next_pair() == ("down/mode", b"day")
    with paho_client(broker) as late, paho_client(edge) as near:
        near.subscribe("down/mode", 1)
        late.subscribe("site-7/up/state", 1)
        assert late.next_message().retain
        late.publish("site-7/up/state", b"", 1, retain=True)
        late.publish("orders/mode", b"", 1, retain=True)
        while near.next_pair() != ("down/mode", b""):
            pass
    if form == PLAIN:  # mosquitto does not tell others than bridges what is retained.
        return
    with paho_client(edge) as late:
        late.subscribe("down/#", 1)
        late.nothing_more()


def test_monitoring_tells_of_the_bridge(broker: Peer, edge: Peer, form: Form) -> None:
    (told,) = status(edge, "varz")["bridges"]
    assert (told["name"], told["url"], told["up"]) == ("cloud", broker_url(broker), True)
    assert told["version"] == {"5": "5.0"}.get(form.version, form.version)
    assert told["dropped_msgs"] == 0
    wait_until(lambda: status(edge, "varz")["bridges"][0]["queued_msgs"] == 0, "nothing waits for the broker")
    assert status(edge, "varz")["leafnodes"] == 0
    assert status(edge, "healthz") == {"status": "ok"}


@pytest.mark.parametrize("form", [FORMS[0]], indirect=True)
def test_properties_pass(broker: Peer, edge: Peer, form: Form) -> None:
    with paho5_client(broker) as far, paho5_client(edge) as near:
        far.ask("site-7/#", qos=1)
        near.tell("up/temp", b"21.5", 1, ContentType="text/plain", UserProperty=[("unit", "C")])
        message = far.next_message()
        assert message.properties.ContentType == "text/plain"
        assert message.properties.UserProperty == [("unit", "C")]


def test_what_is_retained_before_the_bridge_is_there_passes(broker: Peer, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with gateway(tmp_path / "edge", protocols=("mqtt",), data_directory=data) as edge, paho_client(edge) as near:
        near.publish("early/state", b"ok", 1, retain=True)
    with paho_client(broker) as far:
        far.publish("orders/early", b"go", 1, retain=True)
        far.subscribe("site-8/#", 1)
        entries = (("early/#", "out", 1, "", "site-8/"), ("#", "in", 1, "down/", "orders/"))
        config = bridge(broker_url(broker), 'client-id = "early"', entries=entries)
        with edge_of(tmp_path / "edge", config, data_directory=data) as edge:
            message = far.next_message()
            assert (message.topic, message.payload) == ("site-8/early/state", b"ok")
            with paho_client(edge) as near:
                near.subscribe("down/#", 1)
                assert near.next_pair() == ("down/early", b"go")
        far.publish("orders/early", b"", 1, retain=True)
