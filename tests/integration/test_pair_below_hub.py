"""Two gateways of a pair that have an uplink to one hub, each: everything once, and by the other way when one dies."""

import asyncio
from pathlib import Path

from nats.aio.client import Client

from tests.integration.leafnode_pair import client, run
from tests.integration.pair_boxes import PATIENCE_SECONDS, await_pair, box
from tests.integration.peers import nats_server

POLL_SECONDS = 0.05
COUNT = 20


async def heard_by(hearers: list[Client], publisher: Client, subject: str) -> list[list[bytes]]:
    """What each hears of some messages, which are published once a probe has come to all of them."""
    queues = []
    for hearer in hearers:
        queues.append(await hearer.subscribe(f"{subject}.>"))
        await hearer.flush()
    seen = [0] * len(hearers)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all(seen):
            await publisher.publish(f"{subject}.probe", b"probe")
            await publisher.flush()
            await asyncio.sleep(POLL_SECONDS)
            seen = [one.pending_msgs for one in queues]
        for number in range(COUNT):
            await publisher.publish(f"{subject}.number", b"%d" % number)
        await publisher.publish(f"{subject}.end", b"end")
        found = []
        for one in queues:
            came: list[bytes] = []
            while not came or came[-1] != b"end":
                came.append((await one.next_msg(PATIENCE_SECONDS)).data)
            found.append([payload for payload in came[:-1] if payload != b"probe"])
            await one.unsubscribe()
    return found


def test_everything_comes_once_and_by_the_other_way_when_one_dies(tmp_path: Path) -> None:
    numbers = [b"%d" % number for number in range(COUNT)]
    with nats_server(tmp_path / "hub", "server_name: hub\n", leafnodes="") as hub:
        cloud = f'[[uplinks]]\nname = "cloud"\nurls = ["nats-leaf://127.0.0.1:{hub.ports["leafnode"]}"]\n'
        cloud += "reconnect-max-seconds = 0.5\n"
        with (
            box(tmp_path / "one", "box-1", None, cloud, "") as first,
            box(tmp_path / "two", "box-2", first.ports["leafnode"], cloud, "") as second,
        ):
            await_pair(first, second)

            async def talk() -> None:
                async with client(hub) as above, client(first) as here, client(second) as there:
                    assert await heard_by([here, there], above, "from.hub") == [numbers] * 2
                    assert await heard_by([above, there], here, "from.first") == [numbers] * 2
                    assert await heard_by([above, here], there, "from.second") == [numbers] * 2
                first.kill()
                async with client(hub) as above, client(second) as there:
                    assert await heard_by([there], above, "down") == [numbers]
                    assert await heard_by([above], there, "up") == [numbers]

            run(talk)
