"""What passes a bridge outlives everything: cuts of its connection, an end of either side, a change of its settings."""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.mqtt_peers import PahoClient, paho_client
from tests.integration.mqtt_servers import mqtt_server, restart
from tests.integration.peers import MOSQUITTO, Peer, require_peer
from tests.integration.test_bridges import UP, bridge, broker_url
from tests.torture.bridges import torture

SECONDS = 4.0
KILLS = 3
LEAST = 100
COUNT = 30
OUT = (("up/#", "out", 2, "", "site-7/"),)
DOWN = "event=dial-failed"


@pytest.mark.parametrize(("version", "seed"), [("5", 5), ("3.1.1", 6)], ids=["5.0", "3.1.1"])
def test_nothing_is_lost_or_doubled_between_gateways(tmp_path: Path, version: str, seed: int) -> None:
    outcome, cuts = torture(tmp_path, SECONDS, KILLS, seed, version, broker=False, least=LEAST)
    assert outcome.complaints == [], outcome.report()
    assert outcome.kills >= KILLS
    assert cuts > 0
    assert outcome.ledger.acknowledged() >= LEAST


def test_nothing_is_lost_towards_mosquitto_and_nothing_sent_there_twice(tmp_path: Path) -> None:
    require_peer(MOSQUITTO)
    outcome, cuts = torture(tmp_path, SECONDS, KILLS, 7, "5", broker=True)
    assert outcome.complaints == [], outcome.report()
    assert outcome.kills >= KILLS
    assert cuts > 0


def numbered(client: PahoClient, count: int, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        client.publish("up/step", b"%d" % number, 1 + number % 2)


def collect(client: PahoClient, count: int) -> list[tuple[int, int]]:
    """Number and QoS of messages until so many different ones have come."""
    found: list[tuple[int, int]] = []
    while len({number for number, _ in found}) < count:
        message = client.next_message()
        found.append((int(message.payload), message.qos))
    return found


def check_numbered(found: list[tuple[int, int]], count: int) -> None:
    for qos in (1, 2):
        numbers = [number for number, got in found if got == qos]
        assert list(dict.fromkeys(numbers)) == [number for number in range(count) if 1 + number % 2 == qos]
        if qos == 2:
            assert [number for number, times in Counter(numbers).items() if times > 1] == []


def test_what_was_acknowledged_while_the_broker_is_away_arrives_after_a_kill(tmp_path: Path) -> None:
    require_peer(MOSQUITTO)
    with mqtt_server(tmp_path / "broker", ("mqtt",), reference=True) as broker:
        far = PahoClient("listener", clean_session=False)
        assert far.connect(broker) == 0
        far.subscribe("site-7/#", 2)
        far.close()
        config = bridge(broker_url(broker), entries=OUT)
        with mqtt_server(tmp_path / "edge", ("mqtt",), config=config, reference=False) as edge:
            edge.wait_for_log(UP)
            broker.stop()
            edge.wait_for_log(DOWN)
            with paho_client(edge) as near:
                numbered(near, COUNT)
            restart(edge)
            edge.wait_for_log(DOWN)
            broker.start()
            broker.wait_ports()
            edge.wait_for_log(UP)
            far = PahoClient("listener", clean_session=False)
            assert far.connect(broker) == 0
            found = collect(far, COUNT)
            with paho_client(edge) as near:
                near.publish("up/step", b"%d" % COUNT, 1)
                near.publish("up/step", b"%d" % (COUNT + 1), 2)
            found += collect(far, 2)
            far.close()
            check_numbered(found, COUNT + 2)


def reload(edge: Peer, text: str) -> None:
    """Write another configuration and wait until it is in force."""
    file = edge.directory / "leafgate.toml"
    count = edge.fresh_log().count("event=reloaded")
    file.write_text(text)
    edge.wait_for_log("event=reloaded", count=count + 1)


def test_a_bridge_changes_with_the_configuration_and_what_waits_stays(tmp_path: Path) -> None:
    require_peer(MOSQUITTO)
    with mqtt_server(tmp_path / "broker", ("mqtt",), reference=True) as broker:
        config = bridge(broker_url(broker), entries=(*OUT, ("#", "in", 1, "down/", "orders/")))
        with mqtt_server(tmp_path / "edge", ("mqtt",), reference=False) as edge:
            text = (edge.directory / "leafgate.toml").read_text()
            reload(edge, text + config)
            edge.wait_for_log(UP)
            broker.stop()
            edge.wait_for_log(DOWN)
            with paho_client(edge) as near:
                numbered(near, COUNT)
                # Taken out of the file by mistake, and put back: other messages are none of its business meanwhile.
                reload(edge, text)
                edge.wait_for_log(f"event=removed bridge=cloud waiting={COUNT}")
                near.publish("up/step", b"77", 1)
                moved = (("up/#", "out", 2, "", "site-8/"), ("#", "in", 1, "here/", "commands/"))
                reload(edge, text + bridge(broker_url(broker), entries=moved))
                broker.start()
                broker.wait_ports()
                with paho_client(broker) as far:
                    far.subscribe("site-8/#", 2)
                    edge.wait_for_log(UP, count=2)
                    near.subscribe("#", 1)
                    check_numbered(collect(far, COUNT), COUNT)
                    far.publish("orders/lamp", b"old", 1)
                    far.publish("commands/lamp", b"new", 1)
                    assert near.next_pair() == ("here/lamp", b"new")
