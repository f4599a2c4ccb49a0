"""Requests to the API that clients rarely send, beside a nats-server: pages, levels, what makes no sense."""

import json
from typing import Any

import pytest

from tests.integration.jetstream_requests import Script, comparable_message, readable
from tests.integration.peers import Peer
from tests.integration.test_jetstream_beside_nats_server import compare, pair

__all__ = ["pair"]

NONSENSE: tuple[Any, ...] = (b"", b"{}", b"null", b"[]", b"{nonsense", b'"text"', {"offset": "x"}, {"nobody": 1})


async def fill(script: Script) -> None:
    for name in ("A", "B", "C"):
        config = {"name": name, "subjects": [f"{name}.>"], "allow_direct": True}
        await script.request(f"STREAM.CREATE.{name}", config)
    for number in range(6):
        await script.publish(f"A.{number % 3}", b"%d" % number)
    for name in ("one", "two", "three"):
        asked = {"stream_name": "A", "config": {"durable_name": name, "ack_policy": "explicit"}}
        await script.request(f"CONSUMER.CREATE.A.{name}", asked)
        await script.counted("A", name, 6)


async def remove(script: Script) -> None:
    for name in ("A", "B", "C"):
        await script.request(f"STREAM.DELETE.{name}")


def test_lists_have_pages(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script)
        for subject in ("STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.A", "CONSUMER.LIST.A"):
            for asked in ({"offset": 1}, {"offset": 3}, {"offset": 7}, {"offset": -1}, {"subject": "B.*"}):
                await script.request(subject, asked)
        for asked in (
            {"subjects_filter": ">", "offset": 1},
            {"subjects_filter": "A.1"},
            {"subjects_filter": "A.1", "offset": 9},
            {"subjects_filter": "other"},
            {"deleted_details": True},
            {"offset": -1, "subjects_filter": ">"},
        ):
            await script.request("STREAM.INFO.A", asked)
        await remove(script)

    compare(pair, scenario)


@pytest.mark.parametrize(
    "subject",
    [
        "INFO",
        "STREAM.CREATE.X",
        "STREAM.UPDATE.A",
        "STREAM.INFO.A",
        "STREAM.NAMES",
        "STREAM.LIST",
        "STREAM.PURGE.B",
        "STREAM.MSG.GET.A",
        "STREAM.MSG.DELETE.A",
        "CONSUMER.CREATE.A",
        "CONSUMER.CREATE.A.x",
        "CONSUMER.DURABLE.CREATE.A.x",
        "CONSUMER.INFO.A.one",
        "CONSUMER.NAMES.A",
        "CONSUMER.LIST.A",
        "CONSUMER.PAUSE.A.one",
        "CONSUMER.UNPIN.A.one",
    ],
)
def test_what_makes_no_sense_is_refused_alike(pair: tuple[Peer, Peer], subject: str) -> None:
    async def scenario(script: Script) -> None:
        await fill(script)
        for asked in NONSENSE:
            await script.request(subject, asked)
        await script.request("STREAM.DELETE.X")
        await remove(script)

    compare(pair, scenario)


def test_messages_are_asked_for_and_deleted_in_odd_ways(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script)
        for asked in (
            {"seq": 0},
            {"seq": -1},
            {"seq": 2, "last_by_subj": "A.1"},
            {"seq": 2, "next_by_subj": "A.0"},
            {"seq": 3, "next_by_subj": "A.>"},
            {"seq": 99, "next_by_subj": "A.>"},
            {"next_by_subj": "A.2"},
            {"last_by_subj": "A.*"},
            {"last_by_subj": "A..x"},
            {"start_time": "2020-01-01T00:00:00Z"},
            {"start_time": "2020-01-01T00:00:00Z", "next_by_subj": "A.1"},
            {"start_time": "2120-01-01T00:00:00Z"},
            {"start_time": "nonsense"},
            {"seq": 2, "no_hdr": True},
        ):
            await script.request("STREAM.MSG.GET.A", asked)
            await script.direct("A", asked)
        for asked in ({"seq": 0}, {"seq": -3}, {"seq": 77}, {"seq": 4, "no_erase": True}, {"seq": 4}):
            await script.request("STREAM.MSG.DELETE.A", asked)
        for asked in (
            {"seq": -1},
            {"keep": -1},
            {"seq": 2, "keep": 1},
            {"filter": "A..x"},
            {"filter": "A.0", "keep": 1},
        ):
            await script.request("STREAM.PURGE.A", asked)
        await script.request("STREAM.INFO.A")
        await remove(script)

    compare(pair, scenario)


def test_a_level_of_the_api_may_be_asked_for(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script)
        consumer = {"stream_name": "A", "config": {"durable_name": "x", "ack_policy": "explicit"}}
        for subject, asked in (
            ("INFO", None),
            ("STREAM.INFO.A", None),
            ("STREAM.NAMES", None),
            ("STREAM.LIST", None),
            ("STREAM.PURGE.B", None),
            ("STREAM.MSG.GET.A", {"seq": 1}),
            ("CONSUMER.INFO.A.one", None),
            ("CONSUMER.CREATE.A.x", consumer),
            ("STREAM.CREATE.X", {"name": "X"}),
        ):
            for level in ("5", "6", "0", "-1", "x"):
                data = b"" if asked is None else json.dumps(asked).encode()
                message = await script._ask(f"{script.prefix}.{subject}", data, {"Nats-Required-Api-Level": level})
                told = comparable_message(message) if message.headers else readable(message.data)
                script.note(f"{subject} at level {level}", told)
        await script.request("STREAM.DELETE.X")
        await remove(script)

    compare(pair, scenario)


def test_pedantic_requests(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script)
        for config in (
            {"ack_policy": "explicit"},
            {"ack_policy": "explicit", "max_ack_pending": -5},
            {"ack_policy": "explicit", "max_batch": -1},
            {"ack_policy": "explicit", "inactive_threshold": -1},
            {"ack_policy": "explicit", "backoff": [10**9, 2 * 10**9]},
            {"ack_policy": "explicit", "backoff": [10**9], "ack_wait": 3 * 10**9},
            {"ack_policy": "explicit", "max_waiting": -1},
            {"ack_policy": "explicit", "max_deliver": -7},
            {"ack_policy": "explicit", "priority_timeout": -1},
        ):
            # Without that nats-server has no limit then, and here there is one.
            for pedantic in (True, False) if config.get("max_ack_pending") != -5 else (True,):
                asked = {"stream_name": "A", "config": {"durable_name": "P"} | config, "pedantic": pedantic}
                await script.request("CONSUMER.CREATE.A.P", asked)
                await script.request("CONSUMER.DELETE.A.P")
        for more in ({"pedantic": True}, {"pedantic": True, "max_age": -1}, {"pedantic": True, "duplicate_window": 1}):
            await script.request("STREAM.CREATE.X", {"name": "X"} | more)
            await script.request("STREAM.DELETE.X")
        await remove(script)

    compare(pair, scenario)
