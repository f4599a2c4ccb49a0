"""Messages that a server stores for a device: directly, and at the hub behind the gateway."""

import json
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext

from tests.integration.peers import Peer, nats_server
from tests.micropython.hubs import at_hub, made_anew
from tests.micropython.unix_port import board


def stored(server: Peer, *messages: dict[str, Any]) -> list[str]:
    """What a device prints that publishes these messages."""
    with board("stored.py", server.url(), json.dumps(messages)) as device:
        return device.finished().splitlines()


def make_stream(hub: Peer, name: str) -> None:
    async def work(js: JetStreamContext) -> None:
        await made_anew(js, name, lambda: js.add_stream(name=name, subjects=[f"{name}.>"]))

    at_hub(hub, work)


def contents(hub: Peer, name: str) -> list[tuple[bytes, dict[str, str] | None]]:
    async def work(js: JetStreamContext) -> list[tuple[bytes, dict[str, str] | None]]:
        last = (await js.stream_info(name)).state.last_seq
        messages = [await js.get_msg(name, seq=number) for number in range(1, last + 1)]
        return [(message.data or b"", message.headers) for message in messages]

    found: list[tuple[bytes, dict[str, str] | None]] = at_hub(hub, work)
    return found


def test_acknowledgement_tells_where_the_message_is(hub: Peer, server: Peer):
    make_stream(hub, "T")
    assert stored(
        server,
        {"subject": "T.a", "data": "one"},
        {"subject": "T.a", "data": "two", "headers": {"Unit": "C"}},
        {"subject": "T.b"},
    ) == ["stored T 1 False", "stored T 2 False", "stored T 3 False"]
    assert contents(hub, "T") == [(b"one", None), (b"two", {"Unit": "C"}), (b"", None)]


def test_message_that_is_sent_again_is_stored_once(hub: Peer, server: Peer):
    make_stream(hub, "T")
    message = {"subject": "T.a", "data": "one", "msg_id": "m1", "headers": {"Unit": "C"}}
    assert stored(server, message, message) == ["stored T 1 False", "stored T 1 True"]
    assert contents(hub, "T") == [(b"one", {"Unit": "C", "Nats-Msg-Id": "m1"})]


def test_refusal_of_the_stream_has_code_and_description(hub: Peer, server: Peer):
    make_stream(hub, "T")
    message = {"subject": "T.a", "headers": {"Nats-Expected-Last-Sequence": 7}}
    assert stored(server, message) == ["error 400 10071 wrong last sequence: 0"]
    assert contents(hub, "T") == []


def test_subject_that_no_stream_stores_is_an_error(server: Peer):
    assert stored(server, {"subject": "nowhere"}) == ["error 503 0 no responders"]


def test_server_without_jetstream_is_an_error(tmp_path: Path):
    with nats_server(tmp_path) as server:
        assert stored(server, {"subject": "T.a"}) == ["error 503 0 no responders"]
