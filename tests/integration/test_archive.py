"""A stream that is copied into a real PostgreSQL, also while that goes away and comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

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
    wait_until(lambda: count(database) == 150, "all rows")
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


ASK = "$LEAFGATE.stream.get"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Postgres]]:
    """A stream with the messages 701 to 900, and a database that has all of them."""
    directory = tmp_path_factory.mktemp("replayed")
    with postgres() as database:
        config = ARCHIVE.format(url=database.url)
        with gateway(directory, config=config, data_directory=directory / "data") as peer:
            make_stream(peer)
            publish(peer, 1, 900)
            wait_until(lambda: count(database) == 900, "900 rows")
            let_go(peer, 200)
            yield peer, database


def let_go(peer: Peer, keep: int) -> None:
    async def purge() -> None:
        async with client(peer) as connection:
            await connection.jetstream(timeout=PATIENCE_SECONDS).purge_stream("S", keep=keep)

    run(purge)


async def replay(connection: Client, begin: dict[str, str], most: int, payload: bytes = b"") -> list[list[Msg]]:
    """The pages of a replay from somewhere on, until there is no more: messages, and the status behind them."""
    pages = []
    while True:
        inbox = connection.new_inbox()
        answers = await connection.subscribe(inbox)
        asked = {"Nats-Stream": "S", "Nats-Archive": "true", "Nats-Count": str(most)} | begin
        await connection.publish(ASK, payload, reply=inbox, headers=asked)
        page = [await answers.next_msg(PATIENCE_SECONDS)]
        while not (page[-1].headers or {}).get("Status"):
            page.append(await answers.next_msg(PATIENCE_SECONDS))
        await answers.unsubscribe()
        pages.append(page)
        end = page[-1].headers or {}
        if end["Status"] != "204" or end["Nats-Num-Pending"] == "0":
            return pages
        begin = begin | {"Nats-Start-Sequence": str(int(end["Nats-Last-Sequence"]) + 1)}


def sequences(pages: list[list[Msg]]) -> list[int]:
    return [int((one.headers or {})["Nats-Sequence"]) for page in pages for one in page[:-1]]


def test_what_the_stream_has_let_go_is_replayed_from_the_database(replayed: tuple[Peer, Postgres]) -> None:
    edge, _ = replayed

    async def ask() -> None:
        async with client(edge) as connection:
            pages = await replay(connection, {"Nats-Start-Sequence": "1"}, 250)
            assert len(pages) == 4
            assert sequences(pages) == list(range(1, 901))
            for message in (pages[0][0], pages[-1][-2]):
                fields = message.headers or {}
                assert (fields["Nats-Stream"], fields["Unit"]) == ("S", "°C")
                assert message.data.startswith(b"\0")
            filtered = await replay(connection, {"Nats-Start-Sequence": "650"}, 100, b"s.0")
            assert {(one.headers or {})["Nats-Subject"] for page in filtered for one in page[:-1]} == {"s.0"}
            assert sequences(filtered)[0] < 700 < sequences(filtered)[-1]
            middle = (pages[1][100].headers or {})["Nats-Time-Stamp"]
            by_time = sequences(await replay(connection, {"Nats-Start-Time": middle}, 1000))
            assert by_time == list(range(by_time[0], 901))
            assert by_time[0] <= 351
            # Who does not ask for the database gets what the stream has.
            plain = await replay(connection, {"Nats-Start-Sequence": "1", "Nats-Archive": "no"}, 1000)
            assert sequences(plain) == list(range(701, 901))

    run(ask)


def test_replay_goes_on_into_what_is_just_coming(replayed: tuple[Peer, Postgres]) -> None:
    """The stream lets go what it had while it is read, and takes more: no hole, nothing twice."""
    edge, database = replayed
    last = 1200

    def go_on() -> None:
        for first in range(901, last, 50):
            publish(edge, first, first + 49)
            wait_until(lambda first=first: count(database) >= first + 49, "rows")  # type: ignore[misc]
            let_go(edge, 10)

    async def ask() -> None:
        async with client(edge) as connection:
            found: list[int] = []
            going_on = asyncio.create_task(asyncio.to_thread(go_on))
            while not found or found[-1] < last:
                begin = {"Nats-Start-Sequence": str(found[-1] + 1 if found else 1)}
                found += sequences(await replay(connection, begin, 40))
            await going_on
            assert found == list(range(1, last + 1))

    run(ask)


def test_replay_while_the_database_is_away_is_one_clear_answer(replayed: tuple[Peer, Postgres]) -> None:
    edge, database = replayed
    database.stop()

    async def ask() -> None:
        async with client(edge) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            last = (await js.stream_info("S")).state.last_seq
            ((only,),) = await replay(connection, {"Nats-Start-Sequence": "1"}, 100)
            assert (only.headers or {})["Status"] == "503"
            # What the stream has needs no database.
            assert sequences(await replay(connection, {"Nats-Start-Sequence": str(last)}, 100)) == [last]
            await js.publish("s.0", b"goes on")

    run(ask)
    database.start()
