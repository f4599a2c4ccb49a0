"""Who publishes as to a JetStream is answered once, whoever stores the message: buffers for several hubs, and streams
of the gateway's own.
"""

import json
from pathlib import Path
from typing import Any

from tests.integration.leafnode_pair import IMPATIENT, client, clients, leaf_url, run
from tests.integration.peers import Peer, gateway, uplink
from tests.integration.stored_and_forwarded import (
    buffer,
    hub_with_jetstream,
    make_stream,
    stored,
    stored_count,
    storing_gateway,
    wait_until_empty,
)

REPEATED = [("sensors.a", b"1"), ("sensors.a", b"2")]


async def publish_with_a_repeat(here: Any, seconds: float = 10) -> list[dict[str, Any]]:
    """Publish two messages, the first of them twice; returns every answer that came."""
    inbox = here.new_inbox()
    answers = await here.subscribe(inbox)
    for payload, identifier in ((b"1", "one"), (b"1", "one"), (b"2", "two")):
        await here.publish("sensors.a", payload, inbox, headers={"Nats-Msg-Id": identifier})
    found = [json.loads((await answers.next_msg(seconds)).data) for _ in range(3)]
    # Whoever else would answer does so before this, which waits for the same commits.
    assert "seq" in json.loads((await here.request("$LEAFGATE.publish.sensors.end", b"", seconds)).data)
    found += [json.loads(answers._pending_queue.get_nowait().data) for _ in range(answers._pending_queue.qsize())]
    return found


def test_of_several_buffers_one_answers_and_each_has_the_message_once(tmp_path: Path) -> None:
    async def test(edge: Peer, hubs: list[Peer]) -> None:
        async with clients(*hubs) as above, client(edge) as here:
            for hub in above:
                await make_stream(hub)
            answers = await publish_with_a_repeat(here)
            assert [(one["stream"], one.get("duplicate", False)) for one in answers] == [
                ("north", False),
                ("north", True),
                ("north", False),
            ]
            for hub in above:
                await stored_count(hub, 3)
                assert await stored(hub) == [*REPEATED, ("sensors.end", b"")]

    with hub_with_jetstream(tmp_path / "north") as north, hub_with_jetstream(tmp_path / "south") as south:
        links = uplink(leaf_url(north), name="north", **IMPATIENT) + uplink(leaf_url(south), name="south", **IMPATIENT)
        config = links + buffer(uplink="north") + buffer(("sensors.*",), uplink="south")
        with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data", monitoring=True) as edge:
            run(lambda: test(edge, [north, south]))
            wait_until_empty(edge, "north")
            wait_until_empty(edge, "south")


def test_a_stream_of_the_gateways_own_answers_instead_of_a_buffer(tmp_path: Path) -> None:
    async def test(edge: Peer, hub: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            await make_stream(here, "LOCAL", ("sensors.a",))
            answers = await publish_with_a_repeat(here)
            assert [(one["stream"], one["seq"], one.get("duplicate", False)) for one in answers] == [
                ("LOCAL", 1, False),
                ("LOCAL", 1, True),
                ("LOCAL", 2, False),
            ]
            await stored_count(above, 3)
            assert await stored(above) == [*REPEATED, ("sensors.end", b"")]
            assert await stored(here, "LOCAL") == REPEATED
            # Where the stream takes nothing any more the buffer answers.
            await here.jetstream().delete_stream("LOCAL")
            answers = [await here.jetstream().publish("sensors.a", b"3")]
            assert [one.stream for one in answers] == ["cloud"]

    with hub_with_jetstream(tmp_path / "hub") as hub:
        config = buffer() + '[streams]\ndomain = "edge"\n'
        with storing_gateway(tmp_path / "edge", hub, config) as edge:
            run(lambda: test(edge, hub))
            wait_until_empty(edge)
