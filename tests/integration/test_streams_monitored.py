"""/jsz, and what /varz and /accountz say of streams, beside a nats-server that has the same ones."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from nats.js import api

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.peers import Peer, free_port, gateway, nats_server
from tests.integration.test_monitoring_beside_nats_server import fields_of

DETAILS = "/jsz?accounts=1&streams=1&consumers=1&config=1"
# What is a cluster's, or is counted differently.
NOT_OURS = ("cluster", "metadata", "mappings", "update_time", "sync_always")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    config = '[streams]\ndomain = "d"\n'
    with gateway(directory, config=config, data_directory=directory / "data", monitoring=True) as peer:
        fill(peer)
        yield peer


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory, http = tmp_path_factory.mktemp("reference"), free_port()
    config = f'http: "127.0.0.1:{http}"\njetstream {{ store_dir: "{directory / "store"}", domain: d }}'
    with nats_server(directory, config) as peer:
        peer.ports["monitoring"] = http
        fill(peer)
        yield peer


def fill(peer: Peer) -> None:
    async def make() -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="S", subjects=["s.>"])
            await js.add_stream(name="M", subjects=["m"], storage="memory")
            await asyncio.gather(*(js.publish(f"s.{number}", b"x" * 100) for number in range(10)))
            await js.publish("m", b"y")
            pulled = await js.pull_subscribe("s.>", durable="reader", config=api.ConsumerConfig(ack_wait=3600))
            for message in await pulled.fetch(3, timeout=PATIENCE_SECONDS):
                await message.ack_sync(PATIENCE_SECONDS)
            await pulled.fetch(2, timeout=PATIENCE_SECONDS)

    run(make)


def look(peer: Peer, query: str) -> Any:
    with urlopen(peer.url("monitoring", "http") + query) as answer:
        return json.load(answer)


def shape(told: object) -> dict[str, str]:
    return {place: kind for place, kind in fields_of(told).items() if not any(name in place for name in NOT_OURS)}


@pytest.mark.parametrize("query", ["/jsz", DETAILS, "/jsz?acc=$G", "/jsz?streams=1", "/jsz?acc=nobody"])
def test_jsz_has_the_fields_of_nats_server(edge: Peer, reference: Peer, query: str) -> None:
    assert shape(look(edge, query)) == shape(look(reference, query))


def test_jsz_counts_what_nats_server_counts(edge: Peer, reference: Peer) -> None:
    for peer in (edge, reference):
        told = look(peer, DETAILS)
        assert [told[name] for name in ("accounts", "streams", "consumers", "messages")] == [1, 2, 1, 11]
        (account,) = told["account_details"]
        streams = {stream["name"]: stream for stream in account["stream_detail"]}
        assert {name: stream["state"]["messages"] for name, stream in streams.items()} == {"S": 10, "M": 1}
        assert streams["S"]["config"]["subjects"] == ["s.>"]
        (consumer,) = streams["S"]["consumer_detail"]
        numbers = [consumer[name] for name in ("num_pending", "num_ack_pending", "num_redelivered")]
        assert (numbers, consumer["ack_floor"]["stream_seq"]) == ([5, 2, 0], 3)
    told = look(edge, "/jsz?streams=1")
    assert all("config" not in stream for stream in told["account_details"][0]["stream_detail"])


def test_accountz_and_varz_tell_of_streams(edge: Peer, reference: Peer) -> None:
    for peer in (edge, reference):
        assert look(peer, "/accountz?acc=$G")["account_detail"]["jetstream_enabled"] is True
    ours, theirs = look(edge, "/varz")["jetstream"], look(reference, "/varz")["jetstream"]
    assert shape(ours) == shape(theirs)
    assert (ours["config"]["domain"], ours["stats"]["accounts"]) == ("d", 1)


def test_a_gateway_without_streams_says_so(tmp_path: Path) -> None:
    with gateway(tmp_path, monitoring=True) as peer:
        assert look(peer, "/jsz")["disabled"] is True
        assert look(peer, "/varz")["jetstream"] == {}


def health(peer: Peer, query: str) -> tuple[int, Any]:
    try:
        with urlopen(f"{peer.url('monitoring', 'http')}/healthz?{query}") as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


HEALTH_QUERIES = [
    "account=$G",
    "account=nobody",
    "account=$G&stream=S",
    "account=$G&stream=nothing",
    "account=$G&stream=S&consumer=reader",
    "account=$G&stream=S&consumer=nobody",
    "account=$G&stream=nothing&consumer=nobody",
    "account=nobody&stream=S&consumer=reader",
    "stream=S",
    "account=$G&consumer=reader",
    "account=$G&stream=nothing&js-enabled-only=1",
    "account=$G&stream=nothing&js-server-only=1",
    "account=$G&stream=nothing&js-meta-only=1",
]


@pytest.mark.parametrize("details", ["", "&details=1"])
@pytest.mark.parametrize("query", HEALTH_QUERIES)
def test_health_of_streams_is_told_as_nats_server_tells_it(
    edge: Peer, reference: Peer, query: str, details: str
) -> None:
    assert health(edge, query + details) == health(reference, query + details)


def test_streams_in_memory_are_well_too(edge: Peer, reference: Peer) -> None:
    """nats-server looks for directories, so it finds none of theirs."""
    assert health(edge, "account=$G&stream=M") == (200, {"status": "ok"})
    assert health(reference, "account=$G&stream=M")[0] == 404


def test_health_of_streams_where_there_are_none(tmp_path: Path) -> None:
    http = free_port()
    with (
        gateway(tmp_path / "edge", monitoring=True) as ours,
        nats_server(tmp_path / "reference", f'http: "127.0.0.1:{http}"') as theirs,
    ):
        theirs.ports["monitoring"] = http
        for query in ("account=$G", "account=nobody&stream=S&consumer=C", "account=$G&details=1"):
            assert health(ours, query) == health(theirs, query) == (200, {"status": "ok"})
