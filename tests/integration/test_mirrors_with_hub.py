"""Mirrors and sources of the gateway's streams at a nats-server, and of a nats-server's at the gateway, over a link."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.integration.leafnode_pair import PATIENCE_SECONDS, clients, run, settled_both_ways
from tests.integration.mirror_pair import (
    ask,
    create,
    external,
    fill,
    hub_and_edge_with_streams,
    messages,
    state,
    until,
)
from tests.integration.peers import Peer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge_with_streams(tmp_path_factory.mktemp("mirrors")) as peers:
        yield peers


def test_a_stream_of_the_gateway_is_mirrored_at_the_hub(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(edge, "UP", subjects=["up.>"])
            await fill(edge, "up.a", 0, 50)
            await ask(edge, "STREAM.MSG.DELETE.UP", {"seq": 7})
            await create(hub, "UP-COPY", mirror={"name": "UP"} | external("edge", "from.edge"))
            await until(hub, "UP-COPY", 50)
            await fill(edge, "up.b", 50, 60)
            await until(hub, "UP-COPY", 60)
            assert await messages(hub, "UP-COPY") == await messages(edge, "UP")
            assert (await state(hub, "UP-COPY"))["num_deleted"] == 1
            told = await ask(edge, "CONSUMER.NAMES.UP")
            assert told["consumers"] == [], "what a mirror reads with is in no list"

    run(test)


def test_a_stream_of_the_hub_is_mirrored_at_the_gateway(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(hub, "DOWN", subjects=["down.>"])
            await fill(hub, "down.a", 0, 50)
            await ask(hub, "STREAM.MSG.DELETE.DOWN", {"seq": 7})
            await create(edge, "DOWN-COPY", mirror={"name": "DOWN"} | external("hub", "from.hub"))
            await until(edge, "DOWN-COPY", 50)
            await fill(hub, "down.b", 50, 60)
            await until(edge, "DOWN-COPY", 60)
            assert await messages(edge, "DOWN-COPY") == await messages(hub, "DOWN")
            told = await ask(edge, "STREAM.INFO.DOWN-COPY")
            assert told["mirror"]["lag"] == 0
            assert "error" not in told["mirror"]

    run(test)


def test_a_bucket_of_the_hub_is_read_at_the_gateway(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            bucket = await hub.jetstream(timeout=PATIENCE_SECONDS).create_key_value(bucket="config")
            await bucket.put("color", b"green")
            await bucket.put("color", b"blue")
            await bucket.put("size", b"large")
            await create(
                edge,
                "KV_config",
                mirror={"name": "KV_config"} | external("hub"),
                max_msgs_per_subject=1,
                allow_direct=True,
            )
            await until(edge, "KV_config", 3)
            here = await edge.jetstream(timeout=PATIENCE_SECONDS).key_value("config")
            assert (await here.get("color")).value == b"blue"
            assert sorted(await here.keys()) == ["color", "size"]
            await bucket.delete("size")
            await until(edge, "KV_config", 4)
            assert await here.keys() == ["color"]

    run(test)


@pytest.mark.parametrize("upwards", [True, False], ids=["at-the-hub", "at-the-gateway"])
def test_sources_are_filtered_renamed_and_put_together(pair: tuple[Peer, Peer], upwards: bool) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            origin, copy, domain = (edge, hub, "edge") if upwards else (hub, edge, "hub")
            one, two, both = (f"{name}-{domain}" for name in ("ONE", "TWO", "BOTH"))
            await create(origin, one, subjects=[f"{domain}.one.*"])
            await create(origin, two, subjects=[f"{domain}.two.*"])
            transforms = [{"src": f"{domain}.two.*", "dest": "renamed.$1"}]
            sources = [
                {"name": one, "filter_subject": f"{domain}.one.x"} | external(domain),
                {"name": two, "subject_transforms": transforms} | external(domain),
            ]
            await create(copy, both, subjects=[f"own.{domain}"], sources=sources)
            await fill(origin, f"{domain}.one.x", 0, 10)
            await fill(origin, f"{domain}.one.y", 10, 20)
            await fill(origin, f"{domain}.two.z", 20, 30)
            await fill(copy, f"own.{domain}", 30, 31)
            await until(copy, both, 21)
            found = await messages(copy, both)
            by_subject: dict[str, list[int]] = {}
            for message in found:
                by_subject.setdefault(message["subject"], []).append(int(base64.b64decode(message["data"])))
            assert by_subject == {
                f"{domain}.one.x": [*range(10)],
                "renamed.z": [*range(20, 30)],
                f"own.{domain}": [30],
            }

    run(test)


def test_subjects_that_the_hub_stores_too_are_said_when_a_stream_is_made(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(hub, "THEIRS", subjects=["both.a.>", "theirs"])
            await create(hub, "OTHERS", subjects=["others"])
            told = await edge.subscribe("$JS.EVENT.ADVISORY.STREAM.SUBJECTS_OVERLAP.>")
            await create(edge, "APART", subjects=["apart"])
            await create(edge, "OURS", subjects=["ours", "both.>"])
            advisory = json.loads((await told.next_msg(PATIENCE_SECONDS)).data)
            assert (advisory["stream"], advisory["other_domain"]) == ("OURS", "hub")
            assert advisory["other_streams"] == ["THEIRS"]
            pair[1].wait_for_log("event=subjects-overlap stream=OURS domain=hub")

    run(test)


def test_a_mirror_is_mirrored_further(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(hub, "FIRST", subjects=["chain.>"])
            await create(edge, "SECOND", mirror={"name": "FIRST"} | external("hub"))
            await create(edge, "THIRD", mirror={"name": "SECOND"})
            await create(hub, "FOURTH", mirror={"name": "THIRD"} | external("edge"))
            await fill(hub, "chain.x", 0, 40)
            await until(hub, "FOURTH", 40)
            first = await messages(hub, "FIRST")
            for client, name in ((edge, "SECOND"), (edge, "THIRD"), (hub, "FOURTH")):
                assert await messages(client, name) == first

    run(test)


def test_a_mirror_begins_where_it_is_told_to(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(hub, "LONG", subjects=["long.>"])
            await fill(hub, "long.x", 0, 20)
            every = await messages(hub, "LONG")
            await create(edge, "LATE", mirror={"name": "LONG", "opt_start_seq": 11} | external("hub"))
            later = {"name": "LONG", "opt_start_time": every[14]["time"]}
            await create(edge, "LATER", mirror=later | external("hub"))
            await create(edge, "SOME", mirror={"name": "LONG", "filter_subject": "long.y"} | external("hub"))
            await fill(hub, "long.y", 20, 21)
            for name in ("LATE", "LATER", "SOME"):
                await until(edge, name, 21)
            every = await messages(hub, "LONG")
            assert await messages(edge, "LATE") == every[10:]
            assert await messages(edge, "LATER") == every[14:]
            assert await messages(edge, "SOME") == every[20:]

    run(test)


def test_a_mirror_that_is_none_any_more_goes_on_by_itself(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as (hub, edge):
            await settled_both_ways(hub, edge)
            await create(hub, "MAIN", subjects=["main.>"])
            await fill(hub, "main.x", 0, 5)
            await create(edge, "SPARE", mirror={"name": "MAIN"} | external("hub"))
            await until(edge, "SPARE", 5)
            told = await ask(edge, "STREAM.UPDATE.SPARE", {"name": "SPARE", "subjects": ["spare.>"]})
            assert "mirror" not in told["config"]
            assert "mirror" not in told
            await fill(edge, "spare.x", 5, 7)
            await fill(hub, "main.x", 5, 9)
            assert (await state(edge, "SPARE"))["last_seq"] == 7

    run(test)
