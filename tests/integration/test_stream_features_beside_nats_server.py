"""What streams do with messages besides storing them, at the gateway beside nats-server, answers field by field."""

import asyncio
import base64
import json
from collections.abc import Iterator

import pytest

from tests.integration.jetstream_pair import nats_server_and_gateway
from tests.integration.jetstream_requests import Scenario, Script, both
from tests.integration.leafnode_pair import PATIENCE_SECONDS, clients, run
from tests.integration.peers import Peer

# What is wrong with a transform is said in words of one's own.
WORDS = {10145, 10146, 10151, 10154, 10155, 10156}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with nats_server_and_gateway(tmp_path_factory.mktemp("features")) as peers:
        yield peers


def without_words(value: object) -> object:
    if isinstance(value, dict):
        if value.get("err_code") in WORDS:
            return {key: one for key, one in value.items() if key != "description"}
        moving = ("lag", "active", "seq") if "lag" in value else ()
        return {key: without_words(one) for key, one in value.items() if key not in moving}
    return [without_words(one) for one in value] if isinstance(value, list) else value


def differ(one: object, other: object) -> bool:
    return without_words(one) != without_words(other)


def compare(pair: tuple[Peer, Peer], scenario: Scenario) -> None:
    async def test() -> None:
        async with clients(*pair) as connections:
            theirs, ours = await both(connections, scenario)
            differing = [
                (step, theirs[step], ours.get(step)) for step in theirs if differ(ours.get(step), theirs[step])
            ]
            assert not differing, "\n".join(json.dumps(one) for one in differing)
            assert ours.keys() == theirs.keys()

    run(test)


def test_what_is_stored_is_published_once_more(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        republish = {"src": "r.*.>", "dest": "copy.$1.>"}
        await script.request("STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"], "republish": republish})

        async def publish() -> None:
            await script.publish("r.a.x", b"one")
            await script.publish("r.a.x", b"two", Own="header")
            await script.publish("r.b.y", b"three", Nats_Msg_Id="id")
            await script.publish("r.short", b"not this one")
            await script.publish("r.a.x", b"four")

        await script.heard("copy.>", 4, publish)
        republish = {"dest": "heads.>", "headers_only": True}
        await script.request("STREAM.UPDATE.R", {"name": "R", "subjects": ["r.>"], "republish": republish})

        async def again() -> None:
            await script.publish("r.a.x", b"five")
            await script.publish("r.a", b"six", Own="header")

        await script.heard("heads.>", 2, again)
        for wrong in ({"dest": "r.x"}, {"src": "r.*", "dest": "x.$2"}, {"src": "r.>", "dest": "x"}, {"dest": ">"}):
            await script.request("STREAM.CREATE.W", {"name": "W", "subjects": ["w.>", "r2.>"], "republish": wrong})
        await script.request(
            "STREAM.CREATE.W", {"name": "W", "subjects": ["w"], "republish": {"src": "w", "dest": "w"}}
        )
        await script.request("STREAM.DELETE.R")

    compare(pair, scenario)


def test_subjects_become_others_before_they_are_stored(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        transform = {"src": "t.*.*", "dest": "kept.{{partition(3,1,2)}}.$2.$1"}
        config = {"name": "T", "subjects": ["t.>"], "subject_transform": transform, "allow_direct": True}
        await script.request("STREAM.CREATE.T", config)
        for number in range(8):
            await script.publish(f"t.a{number}.b{number % 3}", b"%d" % number)
        await script.publish("t.other", b"as it is")
        await script.publish("t.a1.b1", b"expected", Nats_Expected_Last_Subject_Sequence="2")
        await script.request("STREAM.INFO.T", {"subjects_filter": ">"})
        await script.direct("T", {"last_by_subj": "t.other"})
        await script.direct("T", {"seq": 3})
        consumer = {"stream_name": "T", "config": {"name": "C", "filter_subject": "kept.*.b1.>", "ack_policy": "none"}}
        await script.request("CONSUMER.CREATE.T.C.kept.*.b1.>", consumer)
        await script.next("T", "C", {"batch": 3, "no_wait": True}, 3)
        await script.request("STREAM.PURGE.T", {"filter": "kept.*.b2.*"})
        transform = {"src": ">", "dest": "new.>"}
        await script.request("STREAM.UPDATE.T", {"name": "T", "subjects": ["t.>"], "subject_transform": transform})
        await script.publish("t.a1.b1", b"anew")
        await script.request("STREAM.MSG.GET.T", {"last_by_subj": "new.>"})
        for wrong in (
            {"src": "t..x", "dest": "x"},
            {"src": "t.*", "dest": "x.$2"},
            {"src": "t.*", "dest": "x.{{nonsense(1)}}"},
            {"src": "t.*", "dest": "x.{{partition(a)}}"},
        ):
            await script.request("STREAM.CREATE.W", {"name": "W", "subjects": ["w"], "subject_transform": wrong})
        implicit = {"subject_transform": {"src": "im.>", "dest": "pl.>"}, "republish": {"src": ">", "dest": ">"}}
        await script.request("STREAM.CREATE.IM", {"name": "IM", "subjects": ["im.>"]} | implicit)
        await script.heard("pl.>", 1, lambda: script.publish("im.x", b"both"))
        for name in ("T", "IM"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


def test_counters_add_up(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        config = {"name": "N", "subjects": ["n.>"], "allow_msg_counter": True, "allow_direct": True}
        await script.request("STREAM.CREATE.N", config)
        for value in ("1", "+5", "-2", "123456789012345678901234567890", "0"):
            await script.publish("n.a", b"", Nats_Incr=value)
        await script.publish("n.b", b"", Nats_Incr="7")
        for headers in (
            {"Nats_Incr": "x"},
            {"Nats_Incr": "1.5"},
            {},
            {"Nats_Incr": "1", "Nats_Rollup": "sub"},
            {"Nats_Incr": "1", "Nats_Expected_Last_Sequence": "6"},
            {"Nats_Incr": "1", "Nats_Msg_Id": "once"},
            {"Nats_Incr": "1", "Nats_Msg_Id": "once"},
        ):
            await script.publish("n.a", b"", **headers)
        await script.publish("n.a", b"payload", Nats_Incr="1")
        await script.direct("N", {"last_by_subj": "n.a"})
        await script.request("STREAM.MSG.DELETE.N", {"seq": 7})
        await script.publish("n.a", b"", Nats_Incr="1")
        await script.request("STREAM.PURGE.N", {"filter": "n.a"})
        await script.publish("n.a", b"", Nats_Incr="3")
        await script.request("STREAM.CREATE.P", {"name": "P", "subjects": ["p"]})
        await script.publish("p", b"", Nats_Incr="1")
        for wrong in (
            {"discard": "new"},
            {"allow_msg_ttl": True},
            {"retention": "interest"},
            {"allow_msg_schedules": True},
        ):
            await script.request("STREAM.CREATE.W", {"name": "W", "allow_msg_counter": True} | wrong)
        await script.request("STREAM.UPDATE.N", {"name": "N", "subjects": ["n.>"]})
        total = {"name": "TOTAL", "allow_msg_counter": True, "allow_direct": True}
        await script.request("STREAM.CREATE.N2", config | {"name": "N2", "subjects": ["n2.>"]})
        transforms = [{"src": "n2.>", "dest": "n.>"}]
        await script.publish("n2.a", b"", Nats_Incr="40")
        sources = [{"name": "N"}, {"name": "N2", "subject_transforms": transforms}]
        await create_copy(script, total | {"sources": sources})
        await until(script, "TOTAL", 3)
        await script.publish("n2.a", b"", Nats_Incr="2")
        await until(script, "TOTAL", 4)
        answer = await script.client.request("$JS.API.DIRECT.GET.TOTAL", b'{"last_by_subj":"n.a"}')
        script.note("total", answer.data)
        for name in ("N", "N2", "P", "TOTAL"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


async def create_copy(script: Script, config: dict[str, object]) -> None:
    """A mirror, or a stream with sources: what it has when it is described is a matter of time."""
    name = config["name"]
    answer = await script.client.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode())
    script.note(f"create {name}", json.loads(answer.data)["config"])


async def until(script: Script, stream: str, messages: int) -> None:
    """Return once a stream has so many messages."""

    async def look() -> None:
        while True:
            answer = await script.client.request(f"$JS.API.STREAM.INFO.{stream}", b"")
            if json.loads(answer.data)["state"]["messages"] >= messages:
                return
            await asyncio.sleep(0.02)

    await asyncio.wait_for(look(), 2 * PATIENCE_SECONDS)


def test_schedules_publish_when_it_is_time(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        config = {"name": "S", "subjects": ["s.>", "at.>"], "allow_msg_schedules": True, "allow_msg_ttl": True}
        await script.request("STREAM.CREATE.S", config)
        good = {"Nats_Schedule": "@at 2020-01-01T00:00:00Z", "Nats_Schedule_Target": "at.x"}
        for headers in (
            {"Nats_Schedule": "nonsense", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": "@every 10ms", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": "@at yesterday", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": "* * * * *", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": "99 * * * * *", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": "0 0 0 30 2 *", "Nats_Schedule_Target": "at.x"},
            {"Nats_Schedule": good["Nats_Schedule"]},
            good | {"Nats_Schedule_Target": "s.x"},
            good | {"Nats_Schedule_Target": "elsewhere"},
            good | {"Nats_Schedule_Target": "at.*"},
            good | {"Nats_Schedule_Source": "at.x"},
            good | {"Nats_Schedule_Source": "elsewhere"},
            good | {"Nats_Schedule_TTL": "soon"},
            good | {"Nats_Schedule_Rollup": "all"},
            good | {"Nats_Rollup": "all"},
            good | {"Nats_Schedule_Time_Zone": "Europe/Berlin"},
            {"Nats_Schedule": "@daily", "Nats_Schedule_Target": "at.x", "Nats_Schedule_Time_Zone": "Nowhere/Atall"},
            {"Nats_Schedule_Next": "purge"},
            {"Nats_Schedule_Next": "purge", "Nats_Scheduler": "s.x"},
            {"Nats_Schedule_Next": "2030-01-01T00:00:00Z", "Nats_Scheduler": "s.y"},
            {"Nats_Scheduler": "s.y"},
        ):
            await script.publish("s.x", b"refused", **headers)
        await script.request("STREAM.INFO.S")
        due = good | {"Nats_Schedule_TTL": "60s", "Own": "header"}
        await script.publish("s.x", b"once", **due)
        while True:
            answer = await script.client.request("$JS.API.STREAM.MSG.GET.S", b'{"last_by_subj":"at.x"}')
            if b"error" not in answer.data:
                break
            await asyncio.sleep(0.05)
        await script.publish("s.daily", b"daily", Nats_Schedule="@daily", Nats_Schedule_Target="at.d")
        await script.publish("s.no", b"no schedule")
        await script.publish("at.d", b"", Nats_Schedule_Next="purge", Nats_Scheduler="s.no")
        await script.publish("at.d", b"", Nats_Schedule_Next="purge", Nats_Scheduler="s.daily")
        await script.request("STREAM.MSG.GET.S", {"last_by_subj": "s.daily"})
        await script.request("STREAM.MSG.GET.S", {"last_by_subj": "s.x"})
        answer = await script.client.request("$JS.API.STREAM.MSG.GET.S", b'{"last_by_subj":"at.x"}')
        told = json.loads(answer.data)["message"]
        script.note("due", [told["data"], sorted(base64.b64decode(told["hdrs"]).split(b"\r\n"))])
        for wrong in ({"discard": "new"}, {"deny_purge": True}):
            await script.request("STREAM.CREATE.W", {"name": "W", "allow_msg_schedules": True} | wrong)
        await script.request("STREAM.DELETE.W")
        await script.request("STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "allow_msg_ttl": True})
        await script.request("STREAM.CREATE.P", {"name": "P", "subjects": ["p"]})
        await script.publish("p", b"", **good)
        for name in ("S", "P"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


def test_an_atomic_batch_is_stored_whole_or_not_at_all(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        config = {"name": "B", "subjects": ["b.>"], "allow_atomic": True, "allow_msg_ttl": True}
        await script.request("STREAM.CREATE.B", config)

        async def batch(identifier: str, *messages: dict[str, str], commit: str = "1") -> None:
            for number, more in enumerate(messages, 1):
                headers = {"Nats_Batch_Id": identifier, "Nats_Batch_Sequence": str(number)} | more
                if number == len(messages):
                    headers["Nats_Batch_Commit"] = commit
                answer = await script._ask("b.x", b"%d" % number, {k.replace("_", "-"): v for k, v in headers.items()})
                script.note(f"{identifier} {number}", answer.data)

        await batch("one", {}, {}, {})
        await batch("alone", {})
        await batch("eob", {}, {}, {}, commit="eob")
        await batch("empty", {}, commit="eob")
        await batch("wrong", {}, {}, commit="2")
        await batch("ids", {"Nats_Msg_Id": "a"}, {"Nats_Msg_Id": "b"})
        await batch("twice", {"Nats_Msg_Id": "c"}, {"Nats_Msg_Id": "c"})
        await batch("again", {"Nats_Msg_Id": "d"}, {"Nats_Msg_Id": "a"})
        await batch("last", {"Nats_Expected_Last_Sequence": "8"}, {})
        await batch("not-last", {"Nats_Expected_Last_Sequence": "3"}, {})
        await batch("late-last", {}, {"Nats_Expected_Last_Sequence": "11"})
        await batch("lastid", {"Nats_Expected_Last_Msg_Id": "b"}, {})
        await batch("subject", {"Nats_Expected_Last_Subject_Sequence": "10"}, {})
        await batch("subject-late", {}, {"Nats_Expected_Last_Subject_Sequence": "12"})
        await batch("rollup", {"Nats_Rollup": "sub"}, {})
        await batch("x" * 64, {})
        await batch("x" * 65, {})
        await script.publish("b.x", b"1", Nats_Batch_Id="over", Nats_Batch_Sequence="1")
        await script.request("STREAM.UPDATE.B", config | {"description": "changed between two messages of a batch"})
        await script.publish("b.x", b"2", Nats_Batch_Id="over", Nats_Batch_Sequence="2", Nats_Batch_Commit="1")
        await batch("level", {"Nats_Required_Api_Level": "99"}, {})
        await batch("fits", {"Nats_Required_Api_Level": "1"}, {})
        await script.publish("b.x", b"", Nats_Batch_Id="gap", Nats_Batch_Sequence="1")
        await script.publish("b.x", b"", Nats_Batch_Id="gap", Nats_Batch_Sequence="3")
        await script.publish("b.x", b"", Nats_Batch_Id="gap", Nats_Batch_Sequence="4", Nats_Batch_Commit="1")
        await script.publish("b.x", b"", Nats_Batch_Id="none")
        await script.publish("b.x", b"", Nats_Batch_Id="far", Nats_Batch_Sequence="1002")
        await script.request("STREAM.INFO.B")
        await script.request("STREAM.MSG.GET.B", {"seq": 3})
        await script.request("STREAM.MSG.GET.B", {"seq": 6})
        await script.request("STREAM.CREATE.P", {"name": "P", "subjects": ["p"]})
        await script.publish("p", b"", Nats_Batch_Id="none", Nats_Batch_Sequence="1")
        for name in ("B", "P"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


def test_a_fast_batch_is_told_how_far_it_is(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.F", {"name": "F", "subjects": ["f.>"], "allow_batched": True})

        async def batch(name: str, *steps: tuple[int, int], flow: int = 2, gap: str = "fail", count: int = 1) -> None:
            inbox = script.client.new_inbox()
            answers = await script.client.subscribe(f"{inbox}.>")
            for sequence, operation in steps:
                reply = f"{inbox}.{name}.{flow}.{gap}.{sequence}.{operation}.$FI"
                await script.client.publish("f.x", b"%d" % sequence, reply=reply)
            found = [await answers.next_msg(PATIENCE_SECONDS) for _ in range(count)]
            last = found[-1].data
            script.note(f"{name}", [last, found[0].data])
            await answers.unsubscribe()

        await batch("alone", (1, 2))
        await batch("two", (1, 0), (2, 2), flow=5, count=2)
        await batch("end", (1, 0), (2, 1), (3, 3), flow=5, count=2)
        await batch("gap", (1, 0), (3, 1), flow=5, count=3)
        await batch("gap-ok", (1, 0), (3, 2), flow=5, gap="ok", count=3)
        await batch("unknown", (4, 1))
        await batch("pattern", (1, 7))
        await batch("start", (2, 0))
        await batch("x" * 65, (1, 0))
        await batch("ping", (1, 0), (1, 4), (2, 3), flow=5, count=3)
        await script.request("STREAM.INFO.F")
        await script.request("STREAM.CREATE.P", {"name": "P", "subjects": ["p"]})
        inbox = script.client.new_inbox()
        answers = await script.client.subscribe(f"{inbox}.>")
        await script.client.publish("p", b"", reply=f"{inbox}.b.1.fail.1.0.$FI")
        script.note("disabled", (await answers.next_msg(PATIENCE_SECONDS)).data)
        for name in ("F", "P"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


def test_what_a_server_without_a_cluster_has_no_use_for(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        for subject in ("STREAM.LEADER.STEPDOWN", "STREAM.PEER.REMOVE", "STREAM.PEER.EVACUATE", "STREAM.CANCEL_MOVE"):
            await script.request(f"{subject}.V", {"peer": "x"})
        for subject in ("CONSUMER.LEADER.STEPDOWN", "CONSUMER.PEER.REMOVE", "CONSUMER.PEER.EVACUATE"):
            await script.request(f"{subject}.V.C", {"peer": "x"})
        for more in (
            {"placement": {"cluster": "X"}},
            {"placement": {"tags": ["a"]}},
            {"placement": {}},
            {"placement": {"preferred": "x"}},
            {"compression": "s2"},
            {"persist_mode": "async"},
            {"persist_mode": "async", "storage": "memory"},
            {"persist_mode": "async", "allow_atomic": True},
            {"persist_mode": "default"},
            {"num_replicas": 2},
            {"subject_delete_marker_ttl": 10**9, "deny_purge": True},
        ):
            await script.request("STREAM.CREATE.V", {"name": "V"} | more)
            await script.request("STREAM.DELETE.V")

    compare(pair, scenario)


SOUND = {"name": "C", "deliver_subject": "to.c"}
UNSOUND_CONSUMERS = (
    {"consumer": {"name": "C"}},
    {"consumer": {"deliver_subject": "to.c"}},
    {"consumer": {"name": "C.x", "deliver_subject": "to.c"}},
    {"consumer": {"name": "C", "deliver_subject": "to.*"}},
    {"consumer": SOUND, "opt_start_seq": 3},
    {"consumer": SOUND, "filter_subject": "o.1"},
)


def test_mirrors_and_sources_are_made_and_refused(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.O", {"name": "O", "subjects": ["o.>"], "allow_direct": True})
        for number in range(5):
            await script.publish(f"o.{number}", b"%d" % number)
        await script.request("STREAM.MSG.DELETE.O", {"seq": 2})
        mirror = {"name": "O"}
        await create_copy(script, {"name": "M", "mirror": mirror})
        await until(script, "M", 4)
        await script.request("STREAM.INFO.M", {"subjects_filter": ">", "deleted_details": True})
        await script.request("STREAM.MSG.GET.M", {"seq": 3})
        for more in (
            {"subjects": ["m"]},
            {"first_seq": 5},
            {"sources": [{"name": "O"}]},
            {"allow_msg_counter": True},
            {"allow_atomic": True},
            {"allow_batched": True},
            {"allow_msg_schedules": True},
            {"subject_delete_marker_ttl": 10**9},
            {"mirror": {"name": "O.x"}},
            {"mirror": {"name": "O", "filter_subject": "o.1", "subject_transforms": [{"src": "o.>", "dest": "x.>"}]}},
            {"mirror": {"name": "O", "subject_transforms": [{"src": "o.>", "dest": "x.>"}, {"src": "o.1"}]}},
            {"mirror": {"name": "O", "subject_transforms": [{"src": "o..x", "dest": "x"}]}},
            {"mirror": {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$2"}]}},
            {"mirror": {"name": "O", "external": {"api": "$JS.API", "deliver": ""}}},
            {"mirror": {"name": "O", "external": {"api": "$JS.x.API", "deliver": "d.*"}}},
            {"mirror": {"name": "W"}},
            *({"mirror": {"name": "O"} | consumer} for consumer in UNSOUND_CONSUMERS),
        ):
            await script.request("STREAM.CREATE.W", {"name": "W", "mirror": mirror} | more)
        await script.request("STREAM.UPDATE.M", {"name": "M", "mirror": {"name": "X"}})
        sources = [{"name": "O", "filter_subject": "o.1"}, {"name": "O", "filter_subject": "o.3"}]
        await create_copy(script, {"name": "Q", "subjects": ["q"], "sources": sources})
        await until(script, "Q", 1)
        for more in (
            {"sources": [{"name": "O"}, {"name": "O"}]},
            {"sources": [{"name": "O.x"}]},
            *({"sources": [{"name": "O"} | consumer]} for consumer in UNSOUND_CONSUMERS),
            {
                "sources": [
                    {"name": "O", "consumer": SOUND},
                    {"name": "O", "consumer": SOUND, "subject_transforms": [{"src": "o.1"}]},
                ]
            },
            {"sources": [{"name": "O"}], "allow_msg_schedules": True},
            {
                "sources": [
                    {"name": "O", "filter_subject": "o.1", "subject_transforms": [{"src": "o.>", "dest": "x.>"}]}
                ]
            },
            {"sources": [{"name": "O", "subject_transforms": [{"src": "o.>"}, {"src": "o.1"}]}]},
            {"sources": [{"name": "W"}], "subjects": ["w"]},
        ):
            await script.request("STREAM.CREATE.W", {"name": "W"} | more)
        await script.request("STREAM.NAMES")
        await script.request("CONSUMER.NAMES.O")
        await script.request("STREAM.INFO.O")
        await script.request("STREAM.DELETE.O")
        for name in ("M", "Q", "W"):
            await script.request(f"STREAM.DELETE.{name}")

    compare(pair, scenario)


def test_clients_are_told_of_streams_and_their_domain(pair: tuple[Peer, Peer]) -> None:
    async def test() -> None:
        async with clients(*pair) as connections:
            told = [{name: one._server_info.get(name) for name in ("jetstream", "domain")} for one in connections]
            assert told == [{"jetstream": True, "domain": "here"}] * 2

    run(test)
