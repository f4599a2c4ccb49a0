"""A stream that is copied into a real PostgreSQL, also while that goes away and comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.peers import Peer, gateway, wait_until
from tests.integration.postgres import Postgres, postgres

COUNT = "SELECT count(*) FROM leafgate_messages"
ARCHIVE = """
[streams]
[[streams.archive]]
stream = "S"
database = "{url}"
"""


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres() as one:
        yield one


@pytest.fixture
def edge(database: Postgres, tmp_path: Path) -> Iterator[Peer]:
    config = ARCHIVE.format(url=database.url)
    with gateway(tmp_path, config=config, data_directory=tmp_path / "data", monitoring=True) as peer:
        yield peer


def make_stream(peer: Peer, **config: object) -> None:
    async def make() -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await js.add_stream(name="S", subjects=["s.>"], **config)

    run(make)


def publish(peer: Peer, first: int, last: int) -> None:
    async def send() -> None:
        async with client(peer) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            await asyncio.gather(
                *(
                    js.publish(f"s.{number % 3}", b"\0%d" % number, headers={"Unit": "°C"})
                    for number in range(first, last + 1)
                )
            )

    run(send)


def count(database: Postgres) -> int:
    found = database.ask("SELECT to_regclass('leafgate_messages') IS NOT NULL")
    return int(database.ask(COUNT)[0][0]) if found[0][0] else 0


def test_what_a_stream_takes_is_in_the_database(edge: Peer, database: Postgres) -> None:
    make_stream(edge)
    publish(edge, 1, 500)
    wait_until(lambda: count(database) == 500, "500 rows")
    assert database.ask("SELECT min(seq), max(seq), count(DISTINCT seq) FROM leafgate_messages") == [(1, 500, 500)]
    rows = database.ask("SELECT payload, headers FROM leafgate_messages WHERE subject = 's.0' ORDER BY seq LIMIT 1")
    assert rows[0][0].startswith(b"\0")
    assert rows[0][1] == [["Unit", "°C"]]
    assert database.ask("SELECT gateway, account, name FROM leafgate_messages_streams") == [("edge", "$G", "S")]
    assert database.ask("SELECT max(time) - now() < interval '1 minute' FROM leafgate_messages") == [(True,)]
    parts = database.ask("SELECT count(*) FROM pg_inherits WHERE inhparent = 'leafgate_messages'::regclass")
    assert parts == [(1,)]
    with urlopen(edge.url("monitoring", "http") + "/metrics") as answer:
        told = answer.read().decode().splitlines()
    assert 'leafgate_archive_up{account="$G",stream="S"} 1.0' in told
    assert 'leafgate_archive_lag_messages{account="$G",stream="S"} 0.0' in told
    assert 'leafgate_archive_copied_messages_total{account="$G",stream="S"} 500.0' in told


def test_the_edge_takes_messages_while_the_database_is_away(edge: Peer, database: Postgres) -> None:
    make_stream(edge)
    publish(edge, 1, 50)
    wait_until(lambda: count(database) == 50, "50 rows")
    database.stop()
    publish(edge, 51, 150)
    edge.wait_for_log("event=archive-away")
    database.start()
    wait_until(lambda: count(database) == 150, "all rows", 60)
    assert edge.log().count("event=archive-away") == 1


def test_a_gateway_that_was_killed_copies_each_message_once(edge: Peer, database: Postgres) -> None:
    make_stream(edge)
    publish(edge, 1, 300)
    edge.kill()
    edge.start()
    edge.wait_for_log("event=archive-open")
    wait_until(lambda: count(database) == 300, "all rows")
    assert database.ask("SELECT count(DISTINCT seq) FROM leafgate_messages") == [(300,)]


def test_a_stream_that_is_made_anew_is_another_one(edge: Peer, database: Postgres) -> None:
    make_stream(edge)
    publish(edge, 1, 20)
    wait_until(lambda: count(database) == 20, "20 rows")

    async def delete() -> None:
        async with client(edge) as connection:
            await connection.jetstream(timeout=PATIENCE_SECONDS).delete_stream("S")

    run(delete)
    make_stream(edge)
    publish(edge, 1, 5)
    wait_until(lambda: count(database) == 25, "25 rows")
    found = database.ask("SELECT max(seq) FROM leafgate_messages GROUP BY stream ORDER BY stream")
    assert found == [(20,), (5,)]


def test_what_the_stream_let_go_meanwhile_is_told(edge: Peer, database: Postgres) -> None:
    make_stream(edge, max_msgs=10)
    publish(edge, 1, 5)
    wait_until(lambda: count(database) == 5, "5 rows")
    database.stop()
    publish(edge, 6, 45)
    edge.wait_for_log("event=archive-away")
    database.start()
    edge.wait_for_log("event=archive-gap", 60)
    wait_until(lambda: count(database) == 15, "what is left")
