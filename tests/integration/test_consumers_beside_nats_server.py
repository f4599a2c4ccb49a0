"""Consumers of the gateway beside nats-server's: where they begin again, pauses, replies of the second version."""

import json
from typing import Any

import pytest

from tests.integration.jetstream_requests import Script, comparable_message
from tests.integration.peers import Peer
from tests.integration.test_jetstream_beside_nats_server import compare, pair
from tests.patience import PATIENCE_SECONDS

__all__ = ["pair"]

ENOUGH = {"batch": 10, "no_wait": True, "expires": 10**9}


async def fill(script: Script, name: str, **config: Any) -> None:
    """A stream of that name with six messages."""
    await script.request(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], **config})
    for number in range(6):
        await script.publish(f"{name}.{number % 2}", b"%d" % number)


async def make(script: Script, stream: str, pending: int, **config: Any) -> None:
    """Its consumer C."""
    asked = {"stream_name": stream, "config": {"durable_name": "C", "ack_policy": "explicit", **config}}
    await script.request(f"CONSUMER.CREATE.{stream}.C", asked)
    await script.counted(stream, "C", pending)


@pytest.mark.parametrize(
    ("policy", "pending"),
    [
        ({"deliver_policy": "all"}, 6),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 3}, 4),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"}, 6),
        ({"deliver_policy": "last"}, 1),
        ({"deliver_policy": "new"}, 0),
        ({"deliver_policy": "last_per_subject", "filter_subject": "R.*"}, 2),
    ],
)
def test_a_consumer_begins_again_where_its_policy_allows(
    pair: tuple[Peer, Peer], policy: dict[str, Any], pending: int
) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "R")
        await make(script, "R", pending, **policy)
        for asked in ({"seq": 1}, {"seq": 5}, {"seq": 77}, b"{nonsense", {"seq": -1}, b""):
            await script.request("CONSUMER.RESET.R.C", asked)
        await script.request("STREAM.DELETE.R")

    compare(pair, scenario)


@pytest.mark.parametrize("retention", ["limits", "workqueue"])
def test_what_was_delivered_comes_again_behind_a_reset(pair: tuple[Peer, Peer], retention: str) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "A", retention=retention)
        await make(script, "A", 6)
        messages = await script.next("A", "C", {"batch": 4}, 4)
        await script.confirm(messages[0])
        await script.confirm(messages[2])
        await script.request("CONSUMER.RESET.A.C", b"")
        await script.request("CONSUMER.INFO.A.C")
        await script.next("A", "C", {"batch": 2}, 2)
        await script.request("STREAM.DELETE.A")

    compare(pair, scenario)


def test_nobody_gets_anything_from_a_consumer_that_pauses(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "Z")
        await make(script, "Z", 6, pause_until="2060-01-01T00:00:00Z")
        await script.next("Z", "C", {"batch": 1, "expires": 200_000_000}, 1)
        await script.request("CONSUMER.PAUSE.Z.C", b"{}")
        await script.next("Z", "C", {"batch": 1}, 1, b"+ACK")
        await script.request("STREAM.DELETE.Z")

    compare(pair, scenario)


def test_acknowledgements_may_come_in_the_second_version(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "V")
        await make(script, "V", 6)
        for message in await script.next("V", "C", {"batch": 3}, 3):
            rest = message.reply.removeprefix("$JS.ACK.")
            for form in (f"$JS.ACK.here.szMpdrwD.{rest}.token", f"$JS.ACK.here.szMpdrwD.{rest}"):
                inbox = script.client.new_inbox()
                answers = await script.client.subscribe(inbox, max_msgs=1)
                await script.client.publish(form, b"+ACK", reply=inbox)
                script.note("second version", comparable_message(await answers.next_msg(PATIENCE_SECONDS))["data"])
        await script.request("CONSUMER.INFO.V.C")
        await script.request("STREAM.DELETE.V")

    compare(pair, scenario)


@pytest.mark.parametrize("config", [{"replay_policy": "original"}, {"rate_limit_bps": 1 << 20}, {"headers_only": True}])
def test_whatever_its_pace_a_consumer_sends_all_in_order(pair: tuple[Peer, Peer], config: dict[str, Any]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "P")
        inbox = script.client.new_inbox()
        heard = await script.client.subscribe(inbox)
        await script.client.flush()
        asked = {"durable_name": "C", "ack_policy": "none", "deliver_subject": inbox, **config}
        payload = json.dumps({"stream_name": "P", "config": asked}).encode()
        await script.client.request("$JS.API.CONSUMER.CREATE.P.C", payload, timeout=PATIENCE_SECONDS)
        told = [comparable_message(await heard.next_msg(PATIENCE_SECONDS)) for _ in range(6)]
        for one in told:
            # How many are left is counted some time later there.
            one["reply"] = one["reply"].rpartition(".")[0]
            one["subject"] = one["subject"].replace(inbox, "*")
        script.note("pushed", told)
        await script.request("STREAM.DELETE.P")

    compare(pair, scenario)


@pytest.mark.parametrize("frequency", ["100%", "100", "+100", "250"])
def test_acknowledgements_are_measured(pair: tuple[Peer, Peer], frequency: str) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "M")
        await make(script, "M", 6, sample_freq=frequency)

        async def acknowledge() -> None:
            messages = await script.next("M", "C", {"batch": 4}, 4)
            await script.confirm(messages[0])
            await script.confirm(messages[1], b"+TERM")
            await script.confirm(messages[0])
            await script.confirm(messages[2], b"-NAK")
            (again,) = await script.next("M", "C", {"batch": 1}, 1)
            await script.confirm(again, b"+NXT")

        measured = await script.heard("$JS.EVENT.METRIC.>", 2, acknowledge)
        assert all(0 <= json.loads(one.data)["ack_time"] < 60 * 10**9 for one in measured)
        await script.request("STREAM.DELETE.M")

    compare(pair, scenario)


@pytest.mark.parametrize("frequency", ["-1", "x", "50%%", "%", "1.5", ""])
def test_what_is_to_be_measured_is_looked_at(pair: tuple[Peer, Peer], frequency: str) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "N")
        config = {"durable_name": "C", "ack_policy": "explicit", "sample_freq": frequency}
        await script.request("CONSUMER.CREATE.N.C", {"stream_name": "N", "config": config})
        await script.request("STREAM.DELETE.N")

    compare(pair, scenario)


def test_a_mirror_is_read_under_the_name_of_its_origin(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.GONE", {"name": "GONE", "subjects": ["gone.>"], "allow_direct": True})
        await script.publish("gone.a", b"1")
        await script.publish("gone.b", b"2")
        await script.request("STREAM.CREATE.COPY", {"name": "COPY", "mirror": {"name": "GONE"}, "allow_direct": True})
        await script.holding("COPY", 2)
        await script.request("STREAM.DELETE.GONE")
        await script.direct("GONE.gone.a")
        await script.direct("GONE", {"seq": 2})
        await script.direct("GONE", {"last_by_subj": "gone.*"})
        await script.direct("GONE.gone.c")
        await script.direct("COPY.gone.b")
        await script.request("STREAM.DELETE.COPY")
        await script.direct("GONE.gone.a")

    compare(pair, scenario)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"deliver_subject": "d"},
        {"deliver_subject": "d", "idle_heartbeat": 2 * 10**9, "max_ack_pending": 10, "max_deliver": -1},
        {"deliver_subject": "d", "ack_wait": 10**9},
        {"deliver_subject": "d", "backoff": [10**9]},
        {"deliver_subject": "d", "max_deliver": 3},
        {"deliver_subject": "d", "max_ack_pending": -1},
    ],
)
def test_what_acknowledgement_by_flow_control_needs(pair: tuple[Peer, Peer], config: dict[str, Any]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "F")
        asked = {"durable_name": "C", "ack_policy": "flow_control", **config}
        await script.request("CONSUMER.CREATE.F.C", {"stream_name": "F", "config": asked})
        await script.request("STREAM.DELETE.F")

    compare(pair, scenario)


def test_answers_to_flow_control_acknowledge(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await fill(script, "G")
        listening = await script.client.subscribe("to.g")
        config = {"ack_policy": "flow_control", "deliver_subject": "to.g", "max_ack_pending": 2}
        await script.request("CONSUMER.CREATE.G.C", {"stream_name": "G", "config": {"durable_name": "C", **config}})
        for place in (2, 3, 5):
            await script.answered_flow(listening, place)
            await script.floor("G", "C", place)
            await script.request("CONSUMER.INFO.G.C")
        await script.request("STREAM.DELETE.G")

    compare(pair, scenario)


SOURCING = {
    "name": "JS_MIRROR_X",
    "ack_policy": "none",
    "ack_wait": 22 * 3600 * 10**9,
    "max_deliver": 1,
    "idle_heartbeat": 10**9,
    "flow_control": True,
    "direct": True,
    "sourcing": True,
    "inactive_threshold": 10 * 10**9,
    "metadata": {"_nats.mirror.stream": "COPY", "_nats.mirror.acc": "$G"},
}


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_what_a_mirror_reads_a_queue_with_is_durable_and_acknowledges(pair: tuple[Peer, Peer], retention: str) -> None:
    async def scenario(script: Script) -> None:
        async def make(**config: Any) -> None:
            name = config["name"]
            await script.request(f"CONSUMER.CREATE.Q.{name}", {"stream_name": "Q", "config": config})

        await script.request("STREAM.CREATE.Q", {"name": "Q", "subjects": ["Q.>"], "retention": retention})
        listening = await script.client.subscribe("to.m")
        await make(**SOURCING, deliver_subject="to.m")
        for number in range(4):
            await script.publish(f"Q.{number}", b"%d" % number)
        await script.answered_flow(listening, 2)
        await script.holding("Q", 2)
        await script.request("CONSUMER.INFO.Q.JS_MIRROR_X")
        await listening.unsubscribe()
        await make(**SOURCING, deliver_subject="to.n", deliver_policy="by_start_sequence", opt_start_seq=4)
        # nats-server sees some time later that nobody listens any more.
        next(reversed(script.answers.values()))["data"].pop("push_bound", None)
        listening = await script.client.subscribe("to.n")
        await script.answered_flow(listening, 4, 2)
        await script.holding("Q", 0)
        for subject in ("CONSUMER.NAMES.Q", "CONSUMER.LIST.Q", "STREAM.INFO.Q"):
            await script.request(subject)
        # What others may have beside it.
        await make(name="E", durable_name="E", ack_policy="explicit")
        await make(name="F", durable_name="F", ack_policy="flow_control", deliver_subject="to.f")
        await make(name="N", durable_name="N", ack_policy="none", deliver_subject="to.none")
        await script.request("CONSUMER.DELETE.Q.JS_MIRROR_X")
        await script.request("STREAM.DELETE.Q")

    compare(pair, scenario)
