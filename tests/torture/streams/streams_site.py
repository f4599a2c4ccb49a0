"""A gateway with streams of several kinds, consumers and buckets, made by requests to its API."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.peers import running
from tests.torture.harmed_gateway import GATEWAY, HarmedGateway
from tests.torture.streams.connection import Connection
from tests.torture.streams.ledger import Stored
from tests.torture.uplink.ledger import key_of

CONFIG = '[streams]\ndomain = "edge"\n'
SECOND = 1_000_000_000
# The log of what came, the work queue, a bucket of values and one of values that live for a while.
LOG, JOBS, STATE, LEASES = "LOG", "JOBS", "STATE", "LEASES"
PULLED, PUSHED, WORKERS = "pulled", "pushed", "workers"
PUSHED_TO = "torture.pushed"
READ_AT_ONCE = 500
BUCKET = {"max_msgs_per_subject": 3, "allow_rollup_hdrs": True, "deny_delete": True, "discard": "new"}
STREAMS: tuple[dict[str, Any], ...] = (
    {"name": LOG, "subjects": ["log.>"]},
    {"name": JOBS, "subjects": ["jobs.>"], "retention": "workqueue"},
    {"name": f"KV_{STATE}", "subjects": [f"$KV.{STATE}.>"], **BUCKET},
    {
        "name": f"KV_{LEASES}",
        "subjects": [f"$KV.{LEASES}.>"],
        **BUCKET,
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": 60 * SECOND,
    },
)
PATIENCE = {"ack_policy": "explicit", "ack_wait": SECOND, "max_ack_pending": 1000}
PUSH = {"deliver_subject": PUSHED_TO, "idle_heartbeat": SECOND, "flow_control": True}
CONSUMERS: tuple[tuple[str, dict[str, Any]], ...] = (
    (LOG, {"durable_name": PULLED, **PATIENCE}),
    (LOG, {"durable_name": PUSHED, **PATIENCE, **PUSH}),
    (JOBS, {"durable_name": WORKERS, **PATIENCE}),
)


@contextmanager
def streams_site(directory: Path, launcher: tuple[str, ...] = GATEWAY) -> Iterator[HarmedGateway]:
    """It runs, and everything is made."""
    place = HarmedGateway(directory, ("nats",), CONFIG, launcher)
    try:
        with running(place.gateway):
            place.start_gateway()
            asyncio.run(make_all(place.gateway.address("nats")))
            yield place
    finally:
        place.close()


async def make_all(address: tuple[str, int]) -> None:
    connection = await Connection.open(address)
    try:
        for stream in STREAMS:
            check(await connection.ask(f"STREAM.CREATE.{stream['name']}", **stream, storage="file", allow_direct=True))
        for name, consumer in CONSUMERS:
            path = f"CONSUMER.DURABLE.CREATE.{name}.{consumer['durable_name']}"
            check(await connection.ask(path, stream_name=name, config=consumer))
    finally:
        connection.close()


def check(answer: dict[str, Any]) -> None:
    assert "error" not in answer, answer


async def read_all(address: tuple[str, int], stream: str) -> list[Stored]:
    """All that a stream has; nothing where there is no such stream."""
    connection = await Connection.open(address)
    try:
        found: list[Stored] = []
        told = await connection.ask(f"STREAM.INFO.{stream}")
        last = told["state"]["last_seq"] if "state" in told else 0
        following = 1
        while following <= last:
            inbox, queue = connection.new_inbox()
            asked = json.dumps({"seq": following, "batch": READ_AT_ONCE}).encode()
            connection.publish(f"$JS.API.DIRECT.GET.{stream}", asked, inbox)
            while not (answer := await connection.next(queue)).status:
                sequence = int(answer.fields["Nats-Sequence"])
                key = key_of(answer.payload)
                assert key is not None, answer
                found.append(Stored(sequence, key))
                following = sequence + 1
            connection.forget(inbox)
            if answer.status == 404:
                break
        return found
    finally:
        connection.close()


async def count_of(address: tuple[str, int], stream: str) -> int:
    """How many messages a stream has; -1 where there is no such stream."""
    connection = await Connection.open(address)
    try:
        told = await connection.ask(f"STREAM.INFO.{stream}")
        return int(told["state"]["messages"]) if "state" in told else -1
    finally:
        connection.close()
