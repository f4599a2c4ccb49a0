"""The whole story: a sensor, people at the edge and in the cloud, a hub that dies and comes back."""

import asyncio
from pathlib import Path

import nats
from nats.aio.client import Client

from tests.integration.leafnode_pair import (
    IMPATIENT,
    LEAF_AUTHORIZATION,
    LINK_UP,
    PATIENCE_SECONDS,
    answer_with,
    leaf_url,
    run,
    settled_both_ways,
)
from tests.integration.mqtt_peers import paho_client
from tests.integration.node_peers import node_client
from tests.integration.peers import Peer, gateway, nats_server, nats_server_ready, uplink

WORK = 300


async def connect(peer: Peer, reconnected: asyncio.Event | None = None) -> Client:
    async def tell() -> None:
        if reconnected is not None:
            reconnected.set()

    async def quiet(error: Exception) -> None:
        """The hub is going to die; nobody need be told."""

    return await nats.connect(
        peer.url(), error_cb=quiet, reconnected_cb=tell, reconnect_time_wait=0.05, max_reconnect_attempts=-1
    )


def test_one_subject_space_from_the_sensor_to_the_hub_and_back(tmp_path: Path):
    with (
        nats_server(tmp_path / "hub", "server_name: hub", leafnodes=LEAF_AUTHORIZATION) as hub,
        gateway(
            tmp_path / "edge", protocols=("nats", "mqtt", "websocket"), config=uplink(leaf_url(hub), **IMPATIENT)
        ) as edge,
        node_client("nats_client.mjs", edge.url("websocket", "ws")) as browser,
        paho_client(edge) as sensor,
    ):
        edge.wait_for_log(LINK_UP)

        async def story() -> None:
            hub_is_back = asyncio.Event()
            at_edge, at_hub = await connect(edge), await connect(hub, hub_is_back)
            edge_values = await at_edge.subscribe("sensors.*.temp")
            hub_values = await at_hub.subscribe("sensors.*.temp")
            await asyncio.to_thread(browser.call, "subscribe", subject="sensors.*.temp")
            await asyncio.to_thread(sensor.subscribe, "commands/kitchen", 1)
            await at_edge.subscribe("services.time", cb=answer_with(b"edge says "))
            await asyncio.gather(at_edge.flush(), at_hub.flush())

            async def everybody_hears(value: str) -> None:
                await settled_both_ways(at_edge, at_hub)
                sensor.paho.publish("sensors/kitchen/temp", value, qos=1)
                for subscription in (edge_values, hub_values):
                    message = await subscription.next_msg(PATIENCE_SECONDS)
                    assert (message.subject, message.data) == ("sensors.kitchen.temp", value.encode())
                heard = await asyncio.to_thread(browser.next_message)
                assert (heard["subject"], heard["payload"]) == ("sensors.kitchen.temp", value)
                await at_hub.publish("commands.kitchen", b"open " + value.encode())
                command = await asyncio.to_thread(sensor.next_message)
                assert (command.topic, command.payload) == ("commands/kitchen", b"open " + value.encode())
                answer = await at_hub.request("services.time", value.encode(), timeout=PATIENCE_SECONDS)
                assert answer.data == b"edge says " + value.encode()

            await everybody_hears("21.5")
            await each_job_is_done_once(at_edge, at_hub)

            hub.kill()
            sensor.paho.publish("sensors/kitchen/temp", "22.0", qos=1)
            assert (await edge_values.next_msg(PATIENCE_SECONDS)).data == b"22.0"
            assert (await asyncio.to_thread(browser.next_message))["payload"] == "22.0"
            hub.start()
            nats_server_ready(hub)
            await asyncio.to_thread(edge.wait_for_log, LINK_UP, count=2)
            await hub_is_back.wait()
            await everybody_hears("22.5")
            await each_job_is_done_once(at_edge, at_hub)
            await asyncio.gather(at_edge.close(), at_hub.close())

        run(story)


async def each_job_is_done_once(at_edge: Client, at_hub: Client) -> None:
    """A queue group with members on both sides, and jobs from both sides."""
    done: list[bytes] = []
    finished = asyncio.Event()

    async def work(message: nats.aio.msg.Msg) -> None:
        done.append(message.data)
        if len(done) >= 2 * WORK:
            finished.set()

    workers = [await client.subscribe("jobs", "workers", cb=work) for client in (at_edge, at_edge, at_hub, at_hub)]
    await settled_both_ways(at_edge, at_hub)
    for number in range(WORK):
        await at_edge.publish("jobs", b"edge %d" % number)
        await at_hub.publish("jobs", b"hub %d" % number)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await finished.wait()
    await settled_both_ways(at_edge, at_hub)  # Whatever came twice would be here by now.
    expected = {b"%b %d" % (side, number) for side in (b"edge", b"hub") for number in range(WORK)}
    assert len(done) == len(expected)
    assert set(done) == expected
    for worker in workers:
        await worker.unsubscribe()
