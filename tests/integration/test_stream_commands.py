"""`leafgate stream`, `kv` and `object` as processes, with the gateway's own streams and with those of a nats-server."""

import asyncio
import hashlib
import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.leafnode_pair import PATIENCE_SECONDS, client, run
from tests.integration.peers import Peer, gateway, nats_server, python_path
from tests.integration.test_people_commands import leafgate

pytestmark = pytest.mark.one_form

CHUNK = 128 << 10


@pytest.fixture(scope="module", params=["gateway", "nats-server"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "gateway":
        with gateway(directory, config="[streams]\n", data_directory=directory / "data") as peer:
            yield peer
    else:
        with nats_server(directory, f'jetstream {{ store_dir: "{directory / "store"}" }}') as peer:
            yield peer


def said(server: Peer, *words: str, data: str = "", status: int = 0) -> str:
    done = leafgate(*words, "--server", server.url(), data=data)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if not status else done.stderr


def told(server: Peer, *words: str) -> Any:
    return json.loads(said(server, *words, "--json"))


def publish(server: Peer, *messages: tuple[str, bytes, dict[str, str] | None]) -> None:
    async def test() -> None:
        async with client(server) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            for subject, payload, headers in messages:
                await js.publish(subject, payload, headers=headers)

    run(test)


def test_a_stream_is_made_changed_read_and_deleted(server: Peer) -> None:
    made = told(server, "stream", "add", "ORDERS", "--subjects", "orders.>", "--max-age", "2h", "--max-bytes", "64M")
    assert (made["config"]["max_age"], made["config"]["max_bytes"]) == (7200 * 10**9, 64 << 20)
    publish(server, ("orders.a", b"1", None), ("orders.b", b"2", {"Colour": "red"}), ("orders.a", b"3", None))
    assert "ORDERS" in said(server, "stream", "ls", "--names").split()
    row = next(line for line in said(server, "stream", "ls").splitlines() if line.startswith("ORDERS"))
    assert row.split()[1] == "3"
    assert "max age" in said(server, "stream", "info", "ORDERS")
    changed = told(server, "stream", "edit", "ORDERS", "--max-age", "1h", "--description", "what was ordered")
    assert (changed["config"]["max_age"], changed["config"]["description"]) == (3600 * 10**9, "what was ordered")
    assert changed["config"]["subjects"] == ["orders.>"]
    assert said(server, "stream", "get", "ORDERS", "2", "--raw") == "2\n"
    assert told(server, "stream", "get", "ORDERS", "--last", "orders.*")["payload"] == "3"
    viewed = [json.loads(line) for line in said(server, "stream", "view", "ORDERS", "--json").splitlines()]
    assert [(one["seq"], one["subject"], one["payload"]) for one in viewed] == [
        (1, "orders.a", "1"),
        (2, "orders.b", "2"),
        (3, "orders.a", "3"),
    ]
    assert viewed[1]["headers"] == [["Colour", "red"]]
    assert said(server, "stream", "view", "ORDERS", "--from", "2", "--subject", "orders.a", "--raw") == "3\n"
    assert said(server, "stream", "view", "ORDERS", "--since", "1h", "--count", "1", "--raw") == "1\n"
    assert "(Colour: red): 2" in said(server, "stream", "view", "ORDERS")
    assert said(server, "stream", "purge", "ORDERS", "--subject", "orders.b", "--force") == "1 messages deleted\n"
    assert said(server, "stream", "purge", "ORDERS", "--keep", "1", "--force") == "1 messages deleted\n"
    assert "say --force" in said(server, "stream", "rm", "ORDERS", status=1)
    said(server, "stream", "rm", "ORDERS", "--force")
    assert "stream not found" in said(server, "stream", "info", "ORDERS", status=1)


def test_a_report_tells_of_streams_and_their_consumers(server: Peer) -> None:
    said(server, "stream", "add", "REPORTED", "--subjects", "reported")
    publish(server, *[("reported", b"x" * 100, None)] * 5)

    async def consume() -> None:
        async with client(server) as connection:
            await connection.jetstream(timeout=PATIENCE_SECONDS).pull_subscribe("reported", durable="reader")

    run(consume)
    (stream,) = [one for one in told(server, "stream", "report") if one["config"]["name"] == "REPORTED"]
    assert (stream["state"]["messages"], stream["consumers"][0]["num_pending"]) == (5, 5)
    lines = said(server, "stream", "report").splitlines()
    assert any(line.split()[:3] == ["REPORTED", "reader", "pull"] for line in lines)


@pytest.mark.parametrize("direct", [True, False])
def test_a_stream_is_exported_and_imported(server: Peer, tmp_path: Path, direct: bool) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"allow_direct": direct, "first_seq": 10}))
    name = "DIRECT" if direct else "PLAIN"
    said(server, "stream", "add", name, "--subjects", f"{name}.>", "--config", str(config))
    publish(
        server, *[(f"{name}.{number % 7}", b"\0%d" % number, {"Nats-Msg-Id": f"{number}"}) for number in range(700)]
    )
    before = said(server, "stream", "view", name, "--json")
    assert len(before.splitlines()) == 700
    file = tmp_path / "export.jsonl"
    done = leafgate("stream", "export", name, "-o", str(file), "--server", server.url())
    assert (done.returncode, done.stdout) == (0, "")
    assert f"exporting {name} 100 %\n700 messages in {file}\n" in done.stderr
    said(server, "stream", "rm", name, "--force")
    done = leafgate("stream", "import", str(file), "--server", server.url())
    assert done.returncode == 0, done.stderr
    assert "700 messages" in done.stderr
    assert "sequences are others" not in done.stderr
    after = said(server, "stream", "view", name, "--json")
    assert [without_time(line) for line in after.splitlines()] == [without_time(line) for line in before.splitlines()]
    assert "there is a stream" in said(server, "stream", "import", str(file), status=1)
    assert (
        "sequences are others" in leafgate("stream", "import", str(file), "--append", "--server", server.url()).stderr
    )
    assert told(server, "stream", "info", name)["state"]["messages"] == 1400


def without_time(line: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(line).items() if name != "time"}


def test_an_export_that_is_cut_off_is_refused(server: Peer, tmp_path: Path) -> None:
    said(server, "stream", "add", "CUT", "--subjects", "cut")
    publish(server, *[("cut", b"%d" % number, None) for number in range(5)])
    file = tmp_path / "cut.jsonl"
    assert leafgate("stream", "export", "CUT", "-o", str(file), "--server", server.url()).returncode == 0
    said(server, "stream", "rm", "CUT", "--force")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4]))
    assert "ends in the middle, after 3 messages" in said(server, "stream", "import", str(file), status=2)
    file.write_text("something else\n")
    assert "no JSON" in said(server, "stream", "import", str(file), status=2)


def test_ids_that_were_used_again_and_gaps_are_imported(server: Peer, tmp_path: Path) -> None:
    said(server, "stream", "add", "AGAIN", "--subjects", "again", "--duplicate-window", "1s")
    file = tmp_path / "again.jsonl"
    assert leafgate("stream", "export", "AGAIN", "-o", str(file), "--server", server.url()).returncode == 0
    head = json.loads(file.read_text().splitlines()[0])
    said(server, "stream", "rm", "AGAIN", "--force")
    message = {"subject": "again", "headers": [["Nats-Msg-Id", "same"]], "time": "2026-01-01T00:00:00Z"}
    lines = [message | {"seq": sequence, "data": data} for sequence, data in ((3, "YQ=="), (5, "Yg=="))]
    file.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines, {"messages": 2})))
    done = leafgate("stream", "import", str(file), "--server", server.url())
    assert done.returncode == 0, done.stderr
    assert "sequences are others" in done.stderr
    assert said(server, "stream", "view", "AGAIN", "--raw") == "a\nb\n"


def test_values_are_put_read_watched_and_deleted(server: Peer) -> None:
    said(server, "kv", "add", "config", "--history", "3")
    assert said(server, "kv", "put", "config", "a.b", "one") == "1\n"
    assert said(server, "kv", "put", "config", "a.b", data="two") == "2\n"
    assert said(server, "kv", "get", "config", "a.b") == "two\n"
    assert said(server, "kv", "get", "config", "a.b", "--revision", "1") == "one\n"
    assert "wrong last sequence" in said(server, "kv", "create", "config", "a.b", "three", status=1)
    assert "wrong last sequence" in said(server, "kv", "update", "config", "a.b", "x", "--revision", "1", status=1)
    assert said(server, "kv", "update", "config", "a.b", "three", "--revision", "2") == "3\n"
    said(server, "kv", "put", "config", "c", "other")
    assert told(server, "kv", "keys", "config") == ["a.b", "c"]
    assert [line.split(": ")[1] for line in said(server, "kv", "history", "config", "a.b").splitlines()] == [
        "one",
        "two",
        "three",
    ]
    watched = said(server, "kv", "watch", "config", "a.>", "--count", "3", "--json").splitlines()
    assert [json.loads(line)["revision"] for line in watched] == [1, 2, 3]
    said(server, "kv", "del", "config", "a.b")
    assert "has no value" in said(server, "kv", "get", "config", "a.b", status=1)
    assert said(server, "kv", "create", "config", "a.b", "anew") == "6\n"
    said(server, "kv", "purge", "config", "a.b")
    assert told(server, "kv", "keys", "config") == ["c"]
    assert told(server, "kv", "info", "config")["history"] == 3
    assert "config" in said(server, "kv", "ls")
    assert "no bucket" in said(server, "kv", "get", "nothing", "a", status=1)
    assert "no key" in said(server, "kv", "put", "config", "a b", "x", status=2)
    said(server, "kv", "rm", "config", "--force")


def test_a_bucket_is_what_clients_make_of_one(server: Peer) -> None:
    said(server, "kv", "add", "ours", "--ttl", "1h")

    async def test() -> None:
        async with client(server) as connection:
            js = connection.jetstream(timeout=PATIENCE_SECONDS)
            ours = await js.key_value("ours")
            await ours.put("k", b"from nats-py")
            theirs = await js.create_key_value(bucket="theirs")
            await theirs.put("k", b"v")
            await theirs.delete("k")

    run(test)
    assert said(server, "kv", "get", "ours", "k") == "from nats-py\n"
    assert "has no value" in said(server, "kv", "get", "theirs", "k", status=1)


def test_files_are_put_and_taken_out(server: Peer, tmp_path: Path) -> None:
    content = os.urandom(3 * CHUNK + 5)
    file = tmp_path / "firmware v1.bin"
    file.write_bytes(content)
    said(server, "object", "add", "files")
    done = leafgate("object", "put", "files", str(file), "--server", server.url())
    assert done.returncode == 0, done.stderr
    assert "uploading firmware v1.bin 100 %" in done.stderr
    info = told(server, "object", "info", "files", "firmware v1.bin")
    assert (info["size"], info["chunks"]) == (len(content), 4)
    copy = tmp_path / "copy"
    said(server, "object", "get", "files", "firmware v1.bin", "-o", str(copy))
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(content).digest()

    async def test() -> None:
        async with client(server) as connection:
            store = await connection.jetstream(timeout=PATIENCE_SECONDS).object_store("files")
            assert (await store.get("firmware v1.bin")).data == content
            await store.put("theirs", b"from nats-py")

    run(test)
    said(server, "object", "get", "files", "theirs", "-o", str(copy))
    assert copy.read_bytes() == b"from nats-py"
    assert {one["name"] for one in told(server, "object", "ls", "files")} == {"firmware v1.bin", "theirs"}
    file.write_bytes(b"anew")
    said(server, "object", "put", "files", str(file))
    said(server, "object", "get", "files", "firmware v1.bin", "-o", str(copy))
    assert copy.read_bytes() == b"anew"
    said(server, "object", "del", "files", "theirs")
    assert "has no object" in said(server, "object", "get", "files", "theirs", status=1)
    assert "files" in said(server, "object", "ls")
    said(server, "object", "rm", "files", "--force")


def test_what_is_wrong_is_said_in_a_line(server: Peer) -> None:
    assert "give at least one" in said(server, "stream", "add", "NONE", status=2)
    assert "nothing to change" in said(server, "stream", "edit", "NONE", status=2)
    for words in (("stream", "add", "X", "--max-bytes", "many"), ("kv", "add", "b", "--ttl", "soon")):
        assert "such as" in said(server, *words, status=2)
    done = leafgate("stream", "ls", "--server", "mqtt://127.0.0.1:1")
    assert (done.returncode, "reached by NATS" in done.stderr) == (2, True)


def test_streams_of_the_edge_are_reached_by_their_domain_from_the_hub(tmp_path: Path) -> None:
    with gateway(
        tmp_path, config='[streams]\ndomain = "edge"\n', data_directory=tmp_path / "data", name="edge"
    ) as peer:
        said(peer, "kv", "add", "config", "--domain", "edge")
        said(peer, "kv", "put", "config", "k", "v", "--domain", "edge")
        assert said(peer, "kv", "get", "config", "k", "--domain", "edge") == "v\n"
        assert "no streams" in said(peer, "kv", "ls", "--domain", "other", "--timeout", "1", status=1)


def test_deleting_asks_on_a_terminal(server: Peer) -> None:
    said(server, "stream", "add", "ASKED", "--subjects", "asked")

    async def test(answer: bytes) -> tuple[int, bytes]:
        leader, follower = pty.openpty()
        words = ["stream", "rm", "ASKED", "--server", server.url()]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words),
            stdin=follower,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": python_path()},
        )
        os.close(follower)
        os.write(leader, answer)
        _, errors = await process.communicate()
        os.close(leader)
        return process.returncode or 0, errors

    status, errors = asyncio.run(test(b"n\n"))
    assert (status, b"[y/N]" in errors, b"left as it is" in errors) == (1, True, True)
    assert asyncio.run(test(b"y\n"))[0] == 0
