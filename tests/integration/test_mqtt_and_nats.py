"""One subject space: MQTT 5.0 properties and NATS headers, requests, groups, offline sessions and retained messages."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    PROBE_SECONDS,
    answer_with,
    client,
    clients,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.mqtt5_peers import Paho5Client, paho5_client, told
from tests.integration.mqtt_peers import paho_client, unique_topic
from tests.integration.mqtt_servers import mqtt_server, restart
from tests.integration.peers import Peer, nats_server, uplink

RETAINED = "$LEAFGATE.retained.get"
NO_MATCHING_SUBSCRIBERS = 0x10
JOBS = 100

# User properties whose names no NATS header can have, or that would pass for one of the others.
ODD_PROPERTIES = [
    ("two words", "a=b%"),
    ("Content-Type", "mine"),
    ("ключ", "значение"),
    ("a:b", "no\u00a0break"),
    ("", ""),
]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with mqtt_server(tmp_path_factory.mktemp("edge"), ("nats", "mqtt"), reference=False) as peer:
        yield peer


@pytest.fixture(scope="module")
def hub_and_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    directory = tmp_path_factory.mktemp("pair")
    with nats_server(directory / "hub", "server_name: hub", leafnodes=LEAF_AUTHORIZATION) as hub:
        link = uplink(leaf_url(hub), **IMPATIENT)
        with mqtt_server(directory / "edge", ("nats", "mqtt"), config=link, reference=False) as edge:
            edge.wait_for_log(LINK_UP)
            yield hub, edge


def place() -> tuple[str, str]:
    """A topic of its own and its subject."""
    topic = unique_topic("place")
    return topic, topic.replace("/", ".")


async def blocking(call: Any, *arguments: Any, **options: Any) -> Any:
    """paho's calls block; NATS callbacks must run meanwhile."""
    return await asyncio.to_thread(call, *arguments, **options)


async def retained(nats: Client, subject_filter: str) -> tuple[dict[str, Msg], str]:
    """Retained messages by subject, and the status that closed the row."""
    inbox = await nats.subscribe(nats.new_inbox())
    await nats.publish(RETAINED, subject_filter.encode(), reply=inbox.subject)
    found: dict[str, Msg] = {}
    while True:
        message = await inbox.next_msg(PATIENCE_SECONDS)
        headers = message.headers or {}
        if "Mqtt-Retained-Subject" not in headers:
            await inbox.unsubscribe()
            assert message.data == b""
            return found, f"{headers['Status']} {headers['Description']}"
        assert headers["Mqtt-Retained-Subject"] not in found
        found[headers["Mqtt-Retained-Subject"]] = message


class TestHeaders:
    """Properties and headers."""

    @pytest.mark.parametrize("qos", [0, 1, 2])
    def test_properties_become_headers(self, edge: Peer, qos: int) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                inbox = await nats.subscribe(subject)
                await nats.flush()
                with paho5_client(edge) as sensor:
                    sensor.tell(
                        topic,
                        b"21.5",
                        qos,
                        ContentType="text/plain",
                        MessageExpiryInterval=60,
                        PayloadFormatIndicator=1,
                        UserProperty=[("Unit", "C")],
                    )
                message = await inbox.next_msg(PATIENCE_SECONDS)
                assert message.data == b"21.5"
                assert message.headers == {
                    "Content-Type": "text/plain",
                    "Mqtt-Message-Expiry": "60",
                    "Mqtt-Payload-Format": "1",
                    "Unit": "C",
                }

        run(test)

    def test_headers_become_properties(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            headers = {
                "Content-Type": "text/plain",
                "Mqtt-Message-Expiry": "60",
                "Mqtt-Payload-Format": "1",
                "Unit": "C",
            }
            async with client(edge) as nats:
                with paho5_client(edge) as display, paho_client(edge) as older:
                    display.ask(topic, qos=1)
                    older.subscribe(topic, 1)
                    await nats.publish(subject, b"21.5", headers=headers)
                    await nats.flush()
                    message = await blocking(display.next_message)
                    found = told(message)
                    assert found.pop("MessageExpiryInterval") in range(30, 61)
                    assert (message.payload, found) == (
                        b"21.5",
                        {"ContentType": "text/plain", "PayloadFormatIndicator": 1, "UserProperty": [("Unit", "C")]},
                    )
                    assert (await blocking(older.next_pair)) == (topic, b"21.5")

        run(test)

    def test_user_properties_that_are_no_headers_are_written_out(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                inbox = await nats.subscribe(subject)
                await nats.flush()
                with paho5_client(edge) as sensor:
                    sensor.tell(topic, b"1", 1, UserProperty=[("two words", "a=b%")])
                message = await inbox.next_msg(PATIENCE_SECONDS)
                assert message.headers == {"Mqtt-User-Property": "two%20words=a%3Db%25"}

        run(test)

    def test_every_user_property_crosses_two_links(self, hub_and_edge: tuple[Peer, Peer]) -> None:
        """MQTT to the hub, there handed on as it came, and back to MQTT: the same properties."""

        async def test() -> None:
            hub, edge = hub_and_edge
            topic, subject = place()
            properties = [("Unit", "C"), *ODD_PROPERTIES]
            async with clients(hub, edge) as (at_hub, at_edge):
                inbox = await at_hub.subscribe(f"{subject}.up")
                with paho5_client(edge) as sensor:
                    sensor.ask(f"{topic}/down", qos=1)
                    await settled_both_ways(at_hub, at_edge)
                    for one in properties:
                        sensor.tell(f"{topic}/up", b"1", 1, ContentType="text/plain", UserProperty=[one])
                        message = await inbox.next_msg(PATIENCE_SECONDS)
                        await at_hub.publish(f"{subject}.down", message.data, headers=message.headers)
                        await at_hub.flush()
                        back = await blocking(sensor.next_message)
                        assert told(back) == {"ContentType": "text/plain", "UserProperty": [one]}

        run(test)


class TestRequests:
    """Response topic and correlation data, reply subjects."""

    def test_device_answers_a_nats_request(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                with paho5_client(edge) as device:
                    device.ask(topic, qos=1)
                    asking = asyncio.create_task(nats.request(subject, b"time?", PATIENCE_SECONDS))
                    request = await blocking(device.next_message)
                    await blocking(answer, device, request, b"noon")
                    assert (await asking).data == b"noon"

        run(test)

    def test_nats_service_answers_a_request_of_a_device(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                await nats.subscribe(f"{subject}.time", cb=answer_with(b"it is "))
                await nats.flush()
                with paho5_client(edge) as device:
                    device.ask(f"{topic}/answers", qos=1)
                    for number in range(3):
                        code = await blocking(
                            device.tell,
                            f"{topic}/time",
                            b"%d" % number,
                            1,
                            ResponseTopic=f"{topic}/answers",
                            CorrelationData=b"\x00\xff%d" % number,
                        )
                        assert code == 0
                    for number in range(3):
                        message = await blocking(device.next_message)
                        assert (message.topic, message.payload) == (f"{topic}/answers", b"it is %d" % number)
                        assert told(message)["CorrelationData"] == b"\x00\xff%d" % number

        run(test)

    def test_requests_cross_the_leafnode(self, hub_and_edge: tuple[Peer, Peer]) -> None:
        async def test() -> None:
            hub, edge = hub_and_edge
            topic, subject = place()
            async with clients(hub, edge) as (at_hub, at_edge):
                await at_hub.subscribe(f"{subject}.cloud", cb=answer_with(b"cloud "))
                with paho5_client(edge) as device:
                    device.ask(f"{topic}/here", qos=1)
                    device.ask(f"{topic}/answers", qos=1)
                    await settled_both_ways(at_hub, at_edge)
                    asking = asyncio.create_task(at_hub.request(f"{subject}.here", b"time?", PATIENCE_SECONDS))
                    request = await blocking(device.next_message)
                    await blocking(answer, device, request, b"noon")
                    assert (await asking).data == b"noon"
                    values = {"ResponseTopic": f"{topic}/answers", "CorrelationData": b"7"}
                    assert await blocking(device.tell, f"{topic}/cloud", b"who?", 1, **values) == 0
                    message = await blocking(device.next_message)
                    assert (message.payload, told(message)["CorrelationData"]) == (b"cloud who?", b"7")

        run(test)

    def test_nobody_answers(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                with paho5_client(edge) as device:
                    values = {"ResponseTopic": f"{topic}/answers", "CorrelationData": b"7"}
                    assert await blocking(device.tell, topic, b"1", 1, **values) == NO_MATCHING_SUBSCRIBERS
                    with pytest.raises(NoRespondersError):
                        await nats.request(subject, b"", PATIENCE_SECONDS)
                    listening = await nats.subscribe(subject)
                    await nats.flush()
                    assert await blocking(device.tell, topic, b"1", 1) == 0
                    assert (await listening.next_msg(PATIENCE_SECONDS)).data == b"1"

        run(test)


def answer(device: Paho5Client, request: Any, payload: bytes) -> None:
    """Answer as MQTT 5.0 has it: at the response topic, with the correlation data where there is some."""
    found = told(request)
    correlation = {"CorrelationData": found["CorrelationData"]} if "CorrelationData" in found else {}
    assert device.tell(found["ResponseTopic"], payload, 1, **correlation) == 0


def test_shared_subscription_and_queue_group_are_one_group(edge: Peer) -> None:
    async def test() -> None:
        topic, subject = place()
        done: dict[str, list[bytes]] = {"nats": [], "mqtt": []}
        async with client(edge) as nats:
            workers = [await nats.subscribe(subject, "crew") for _ in range(2)]
            await nats.flush()
            with paho5_client(edge) as worker, paho5_client(edge) as boss:
                worker.ask(f"$share/crew/{topic}", qos=1)
                for number in range(JOBS):
                    await nats.publish(subject, b"nats %d" % number)
                    await blocking(boss.tell, topic, b"mqtt %d" % number, 1)
                await nats.flush()
                worker.ask(f"{topic}/end", qos=1)
                await nats.publish(f"{subject}.end", b"end")
                await nats.flush()
                while (payload := (await blocking(worker.next_message)).payload) != b"end":
                    done["mqtt"].append(payload)
            for one in workers:
                done["nats"] += [(await one.next_msg()).data for _ in range(one.pending_msgs)]
        expected = {b"%b %d" % (side, number) for side in (b"nats", b"mqtt") for number in range(JOBS)}
        everything = done["nats"] + done["mqtt"]
        assert (len(everything), set(everything)) == (len(expected), expected)
        assert done["nats"]
        assert done["mqtt"]

    run(test)


def test_offline_session_gets_what_nats_clients_publish(edge: Peer) -> None:
    async def test() -> None:
        topic, subject = place()
        display = Paho5Client(topic, manual_ack=True)
        session = {"clean": False, "SessionExpiryInterval": 300}
        assert await blocking(display.open, edge, **session) == 0
        await blocking(display.ask, topic, qos=1)
        display.leave()
        async with client(edge) as nats:
            for number in range(10):
                await nats.publish(subject, b"%d" % number, headers={"Number": str(number)})
            await nats.flush()
        for dup in (False, True):
            assert await blocking(display.open, edge, **session) == 0
            received = [await blocking(display.next_message) for _ in range(10)]
            assert [message.payload for message in received] == [b"%d" % number for number in range(10)]
            assert all((message.qos, message.dup) == (1, dup) for message in received)
            if not dup:
                await blocking(display.break_off)
        for number, message in enumerate(received):
            assert told(message) == {"UserProperty": [("Number", str(number))]}
            display.paho.ack(message.mid, message.qos)
        await blocking(display.nothing_more)
        display.leave()
        assert await blocking(display.open, edge, **session) == 0
        await blocking(display.nothing_more)
        display.close()

    run(test)


class TestRetained:
    """The last value of a subject is there for everybody."""

    def test_nats_client_reads_what_mqtt_retained(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            with paho5_client(edge) as sensor:
                sensor.tell(f"{topic}/a", b"1", 1, retain=True, ContentType="text/plain")
                sensor.tell(f"{topic}/b", b"2", 1, retain=True, UserProperty=[("Unit", "C")])
                sensor.tell(f"{topic}/b/c", b"3", 1, retain=True)
            async with client(edge) as nats:
                found, status = await retained(nats, f"{subject}.*")
                assert status == "204 EOB"
                assert {name: message.data for name, message in found.items()} == {
                    f"{subject}.a": b"1",
                    f"{subject}.b": b"2",
                }
                assert found[f"{subject}.a"].headers["Content-Type"] == "text/plain"
                assert found[f"{subject}.b"].headers["Unit"] == "C"
                assert set((await retained(nats, f"{subject}.>"))[0]) == {f"{subject}{x}" for x in (".a", ".b", ".b.c")}
                assert set((await retained(nats, f"{subject}.b.c"))[0]) == {f"{subject}.b.c"}
                assert await retained(nats, f"{subject}.none") == ({}, "404 No Messages")

        run(test)

    def test_nats_client_sets_and_deletes(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                await nats.publish(subject, b"on", headers={"Mqtt-Retain": "1", "Unit": "C"})
                await nats.flush()
                with paho5_client(edge) as display:
                    await blocking(display.ask, topic, qos=1)
                    message = await blocking(display.next_message)
                    assert (message.payload, message.retain) == (b"on", True)
                    assert told(message) == {"UserProperty": [("Unit", "C")]}
                    await nats.publish(subject, b"", headers={"Mqtt-Retain": "1"})
                    await nats.flush()
                    assert (await blocking(display.next_pair)) == (topic, b"")
                assert await retained(nats, subject) == ({}, "404 No Messages")

        run(test)

    def test_nats_subscriber_sees_changes(self, edge: Peer) -> None:
        async def test() -> None:
            topic, subject = place()
            async with client(edge) as nats:
                inbox = await nats.subscribe(subject)
                await nats.flush()
                with paho5_client(edge) as sensor:
                    for payload, retain in ((b"on", True), (b"passing", False), (b"", True)):
                        await blocking(sensor.tell, topic, payload, 1, retain)
                        message = await inbox.next_msg(PATIENCE_SECONDS)
                        assert message.data == payload
                        assert message.headers == ({"Mqtt-Retain": "1"} if retain else None)

        run(test)

    def test_hub_sets_one_over_the_leafnode(self, hub_and_edge: tuple[Peer, Peer]) -> None:
        async def test() -> None:
            hub, edge = hub_and_edge
            topic, subject = place()
            async with clients(hub, edge) as (at_hub, at_edge):
                with paho5_client(edge) as display:
                    await blocking(display.ask, topic, qos=1)
                    await settled_both_ways(at_hub, at_edge)
                    await at_hub.publish(subject, b"on", headers={"Mqtt-Retain": "1"})
                    await at_hub.flush()
                    assert (await blocking(display.next_pair)) == (topic, b"on")
                # The hub is told of who answers once there is something to answer with.
                found, status = await retained(at_hub, subject)
                while status.startswith("503"):
                    await asyncio.sleep(PROBE_SECONDS)
                    found, status = await retained(at_hub, subject)
                assert (set(found), status) == ({subject}, "204 EOB")

        run(test)

    def test_what_nats_set_outlives_the_gateway(self, tmp_path: Path) -> None:
        topic, subject = place()
        with mqtt_server(tmp_path, ("nats", "mqtt"), reference=False) as edge:

            async def set_one() -> None:
                async with client(edge) as nats:
                    await nats.publish(subject, b"on", headers={"Mqtt-Retain": "1"})
                    await nats.flush()
                    # An acknowledgement leaves after the commit, and commits keep their order.
                    with paho5_client(edge) as sensor:
                        sensor.tell(f"{topic}/fence", b"1", 1, retain=True)

            run(set_one)
            restart(edge)
            with paho5_client(edge) as display:
                display.ask(topic, qos=1)
                assert display.next_pair() == (topic, b"on")


def test_topics_with_spaces_have_subjects(edge: Peer) -> None:
    async def test() -> None:
        topic, subject = "zigbee2mqtt/Living room lamp", "zigbee2mqtt.Living/sroom/slamp"
        async with client(edge) as nats:
            inbox = await nats.subscribe("zigbee2mqtt.*")
            await nats.flush()
            with paho5_client(edge) as lamp:
                lamp.ask("zigbee2mqtt/+", qos=1)
                await blocking(lamp.tell, topic, b"on", 1, True)
                message = await inbox.next_msg(PATIENCE_SECONDS)
                assert (message.subject, message.data) == (subject, b"on")
                assert (await blocking(lamp.next_pair)) == (topic, b"on")
                await nats.publish(subject, b"off")
                await nats.flush()
                assert (await blocking(lamp.next_pair)) == (topic, b"off")
            assert set((await retained(nats, "zigbee2mqtt.*"))[0]) == {subject}

    run(test)
