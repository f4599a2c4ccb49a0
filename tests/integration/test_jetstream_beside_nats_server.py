"""JetStream's API of the gateway beside nats-server's: the same requests, and the answers field by field."""

from collections.abc import Iterator

import pytest

from tests.integration.jetstream_pair import nats_server_and_gateway
from tests.integration.jetstream_requests import Scenario, Script, both
from tests.integration.leafnode_pair import clients, run
from tests.integration.peers import Peer
from tests.patience import PATIENCE_SECONDS

# For requests that are answered before; others say how soon they end.
LONG = round(PATIENCE_SECONDS) * 10**9


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with nats_server_and_gateway(tmp_path_factory.mktemp("beside")) as peers:
        yield peers


def compare(pair: tuple[Peer, Peer], scenario: Scenario) -> None:
    async def test() -> None:
        async with clients(*pair) as connections:
            theirs, ours = await both(connections, scenario)
            assert ours == theirs

    run(test)


def test_streams_are_made_changed_and_deleted(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("INFO")
        await script.request("STREAM.CREATE.S1", {"name": "S1", "subjects": ["s1.>"]})
        await script.request("STREAM.CREATE.S1", {"name": "S1", "subjects": ["s1.>"]})
        await script.request("STREAM.CREATE.S1", {"name": "S1", "subjects": ["s1.>"], "max_msgs": 5})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": ["s1.a"]})
        await script.request("STREAM.CREATE.S2", {"name": "OTHER", "subjects": ["s2"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": ["s2", "s2"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": ["s2.>", "s2.a"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": ["s2..a"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": ["$JS.API.>"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "subjects": [">"]})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "max_age": 1})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "max_age": 10**9, "duplicate_window": 2 * 10**9})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "duplicate_window": 1})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "duplicate_window": -1})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "num_replicas": 3})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "num_replicas": -1})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "discard_new_per_subject": True})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "discard_new_per_subject": True, "discard": "new"})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "deny_purge": True, "allow_rollup_hdrs": True})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "sealed": True})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "retention": "nonsense"})
        await script.request("STREAM.CREATE.S2", b"{nonsense")
        await script.request("STREAM.CREATE.S2", b"")
        await script.request("STREAM.CREATE.S2", {"name": "S2", "no_such_field": 1})
        await script.request("STREAM.CREATE.S2", {"name": "S2", "description": "two", "metadata": {"a": "b"}})
        await script.request(
            "STREAM.CREATE.S3", {"name": "S3", "subjects": ["s3"], "storage": "memory", "first_seq": 7}
        )
        await script.request("STREAM.INFO.S3")
        await script.request("STREAM.NAMES")
        await script.request("STREAM.NAMES", {"subject": "s1.a"})
        await script.request("STREAM.NAMES", {"subject": "nobody"})
        await script.request("STREAM.NAMES", {"offset": 1})
        await script.request("STREAM.LIST")
        await script.request("STREAM.INFO.S1")
        await script.request("STREAM.INFO.NOPE")
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"], "max_msgs": 5, "max_age": 10**12})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"], "storage": "memory"})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"], "retention": "workqueue"})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"], "max_consumers": 3})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s2"]})
        await script.request("STREAM.UPDATE.NOPE", {"name": "NOPE"})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"], "deny_delete": True})
        await script.request("STREAM.UPDATE.S1", {"name": "S1", "subjects": ["s1.>"]})
        await script.request("STREAM.UPDATE.S2", {"name": "S2", "sealed": True})
        await script.request("STREAM.UPDATE.S2", {"name": "S2"})
        await script.request("INFO")
        for name in ("S1", "S2", "S3", "NOPE"):
            await script.request(f"STREAM.DELETE.{name}")
        await script.request("STREAM.NAMES")

    compare(pair, scenario)


def test_messages_are_stored_found_and_deleted(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.M", {"name": "M", "subjects": ["m.>"], "allow_direct": True})
        for number in range(6):
            await script.publish(f"m.{number % 3}", b"%d" % number)
        await script.publish("m.h", b"with", Own="header")
        await script.request("STREAM.INFO.M", {"subjects_filter": ">"})
        await script.request("STREAM.INFO.M", {"subjects_filter": "m.1", "deleted_details": True})
        for asked in (
            {"seq": 1},
            {"seq": 77},
            {"last_by_subj": "m.1"},
            {"last_by_subj": "m.*"},
            {"last_by_subj": "nope"},
            {"seq": 3, "next_by_subj": "m.1"},
            {"next_by_subj": "m.2"},
            {"seq": 7},
            {},
            {"seq": 1, "last_by_subj": "m.1"},
            {"seq": -1},
        ):
            await script.request("STREAM.MSG.GET.M", asked)
        await script.request("STREAM.MSG.GET.M", b"")
        await script.request("STREAM.MSG.GET.NOPE", {"seq": 1})
        for asked in (
            {"seq": 1},
            {"seq": 7},
            {"seq": 77},
            {"last_by_subj": "m.1"},
            {"last_by_subj": "nope"},
            {"seq": 3, "next_by_subj": "m.1"},
            {"next_by_subj": "m.>"},
            {"seq": 1, "no_hdr": True},
            {"seq": 1, "last_by_subj": "m.1"},
            {},
            {"seq": 1, "batch": 2},
            {"batch": 20},
            {"seq": 2, "batch": 3, "next_by_subj": "m.1"},
            {"seq": 50, "batch": 3},
            {"seq": 1, "batch": 10, "max_bytes": 60},
            {"start_time": "2020-01-01T00:00:00Z", "batch": 2},
            {"multi_last": ["m.*"]},
            {"multi_last": ["m.0", "m.2"]},
            {"multi_last": ["m.0", "m.2"], "batch": 1},
            {"multi_last": ["m.*"], "up_to_seq": 4},
            {"multi_last": ["nope"]},
            {"multi_last": ["m.1"], "seq": 1},
        ):
            await script.direct("M", asked)
        await script.direct("M", b"")
        await script.direct("M", b"{nonsense")
        await script.direct("M.m.1")
        await script.direct("M.nope")
        await script.direct("NOPE.m.1")
        await script.request("STREAM.MSG.DELETE.M", {"seq": 2})
        await script.request("STREAM.MSG.DELETE.M", {"seq": 2})
        await script.request("STREAM.MSG.DELETE.M", {"seq": 77})
        await script.request("STREAM.MSG.DELETE.M", {"seq": 7, "no_erase": True})
        await script.request("STREAM.INFO.M", {"deleted_details": True})
        await script.request("STREAM.MSG.GET.M", {"last_by_subj": "m.h"})
        await script.request("STREAM.MSG.GET.M", {"seq": 2})
        await script.request("STREAM.PURGE.M", {"filter": "m.0"})
        await script.request("STREAM.INFO.M", {"subjects_filter": ">"})
        await script.request("STREAM.PURGE.M", {"seq": 4})
        await script.request("STREAM.PURGE.M", {"seq": 4, "keep": 1})
        await script.publish("m.x", b"1")
        await script.publish("m.x", b"2")
        await script.publish("m.x", b"3")
        await script.request("STREAM.PURGE.M", {"filter": "m.x", "keep": 1})
        await script.request("STREAM.INFO.M", {"subjects_filter": ">"})
        await script.request("STREAM.PURGE.M", {"keep": 1})
        await script.request("STREAM.INFO.M")
        await script.request("STREAM.PURGE.M")
        await script.request("STREAM.INFO.M")
        await script.publish("m.x", b"again")
        await script.request("STREAM.PURGE.NOPE")
        await script.request("STREAM.DELETE.M")

    compare(pair, scenario)


def test_what_a_publisher_expects_is_looked_at(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.P", {"name": "P", "subjects": ["p.>"], "max_msgs_per_subject": 10})
        await script.publish("p.a", b"1", Nats_Msg_Id="one")
        await script.publish("p.a", b"1", Nats_Msg_Id="one")
        await script.publish("p.a", b"2", Nats_Expected_Last_Msg_Id="one")
        await script.publish("p.a", b"2", Nats_Expected_Last_Msg_Id="two")
        await script.publish("p.a", b"3", Nats_Expected_Stream="P")
        await script.publish("p.a", b"3", Nats_Expected_Stream="Q")
        await script.publish("p.a", b"4", Nats_Expected_Last_Sequence="3")
        await script.publish("p.a", b"4", Nats_Expected_Last_Sequence="3")
        await script.publish("p.b", b"5", Nats_Expected_Last_Subject_Sequence="0")
        await script.publish("p.b", b"5", Nats_Expected_Last_Subject_Sequence="0")
        await script.publish(
            "p.c", b"6", Nats_Expected_Last_Subject_Sequence="5", Nats_Expected_Last_Subject_Sequence_Subject="p.*"
        )
        await script.publish("p.a", b"x", Nats_Rollup="sub")
        await script.publish("p.a", b"x", Nats_TTL="1s")
        await script.publish("p.a", b"x", Nats_Incr="1")
        await script.publish("p.a", b"x", Nats_Required_Api_Level="99")
        await script.request("STREAM.INFO.P", {"subjects_filter": ">"})
        await script.request("STREAM.DELETE.P")
        await script.request("STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"], "allow_rollup_hdrs": True})
        for number in range(3):
            await script.publish("r.a", b"%d" % number)
            await script.publish("r.b", b"%d" % number)
        await script.publish("r.a", b"rolled", Nats_Rollup="sub")
        await script.request("STREAM.INFO.R", {"subjects_filter": ">", "deleted_details": True})
        await script.publish("r.a", b"nonsense", Nats_Rollup="nonsense")
        await script.publish("r.a", b"all", Nats_Rollup="all")
        await script.request("STREAM.INFO.R", {"subjects_filter": ">"})
        await script.request("STREAM.DELETE.R")

    compare(pair, scenario)


def test_limits_are_held(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.L", {"name": "L", "subjects": ["l.*"], "max_msgs": 3, "max_msg_size": 10})
        for number in range(5):
            await script.publish(f"l.{number}", b"%d" % number)
        await script.publish("l.0", b"12345678901")
        await script.request("STREAM.INFO.L", {"subjects_filter": ">"})
        await script.request("STREAM.DELETE.L")
        config = {"name": "N", "subjects": ["n.*"], "max_msgs": 3, "discard": "new"}
        await script.request("STREAM.CREATE.N", config)
        for number in range(5):
            await script.publish(f"n.{number}", b"%d" % number)
        await script.request("STREAM.INFO.N")
        await script.request("STREAM.DELETE.N")
        config = {"name": "B", "subjects": ["b.*"], "max_bytes": 200, "discard": "new"}
        await script.request("STREAM.CREATE.B", config)
        await script.publish("b.1", b"1" * 100)
        await script.publish("b.2", b"2" * 100)
        await script.request("STREAM.DELETE.B")
        config = {"name": "Q", "subjects": ["q.*"], "max_msgs_per_subject": 2}
        await script.request("STREAM.CREATE.Q", config)
        for number in range(5):
            await script.publish(f"q.{number % 2}", b"%d" % number)
        await script.request("STREAM.INFO.Q", {"subjects_filter": ">", "deleted_details": True})
        await script.request("STREAM.UPDATE.Q", config | {"max_msgs_per_subject": 1})
        await script.request("STREAM.INFO.Q", {"subjects_filter": ">"})
        await script.request("STREAM.DELETE.Q")
        config = {"name": "D", "subjects": ["d.*"], "max_msgs_per_subject": 1, "discard": "new"}
        await script.request("STREAM.CREATE.D", config | {"discard_new_per_subject": True})
        await script.publish("d.1", b"1")
        await script.publish("d.1", b"1")
        await script.publish("d.2", b"1")
        await script.request("STREAM.DELETE.D")

    compare(pair, scenario)


def test_consumers_are_made_changed_and_deleted(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.C", {"name": "C", "subjects": ["c.>"]})
        for number in range(4):
            await script.publish(f"c.{number % 2}", b"%d" % number)

        async def create(where: str, **config: object) -> None:
            await script.request(f"CONSUMER.{where}", {"stream_name": "C", "config": config})

        await create("CREATE.C.A", durable_name="A", name="A", ack_policy="explicit")
        await create("CREATE.C.A", durable_name="A", name="A", ack_policy="explicit")
        await create("CREATE.C.A", durable_name="A", name="A", ack_policy="all")
        await create("DURABLE.CREATE.C.B", durable_name="B", ack_policy="explicit", filter_subject="c.1")
        await create("DURABLE.CREATE.C.B", durable_name="X", ack_policy="explicit")
        await create("DURABLE.CREATE.C.B", ack_policy="explicit")
        await create("CREATE.C", durable_name="E", ack_policy="explicit")
        await create("CREATE.C.F.c.0", name="F", ack_policy="none", filter_subject="c.0")
        await create("CREATE.C.F2.c.0", name="F2", ack_policy="none", filter_subject="c.1")
        await create("CREATE.C.F2", name="F2", ack_policy="none", filter_subjects=["c.0", "c.1"])
        await create("CREATE.C.F3", name="F3", ack_policy="none", filter_subjects=["c.0", "c.>"])
        await create("CREATE.C.F3", name="F3", ack_policy="none", filter_subjects=["c.0", ""])
        await create("CREATE.C.F3", name="F3", ack_policy="none", filter_subject="nope")
        await create("CREATE.C.F3", name="F3", ack_policy="none", filter_subject="c.1", filter_subjects=["c.1"])
        await create("CREATE.C.G", name="G", durable_name="H", ack_policy="none")
        await create("CREATE.C.L", name="L", ack_policy="explicit", deliver_policy="last")
        await create("CREATE.C.L2", name="L2", deliver_policy="last_per_subject")
        await create("CREATE.C.L2", name="L2", deliver_policy="last_per_subject", filter_subject="c.>")
        await create("CREATE.C.N", name="N", deliver_policy="new")
        await create("CREATE.C.Q", name="Q", deliver_policy="by_start_sequence", opt_start_seq=3)
        await create("CREATE.C.Q2", name="Q2", deliver_policy="by_start_sequence")
        await create("CREATE.C.Q2", name="Q2", deliver_policy="all", opt_start_seq=3)
        await create("CREATE.C.T", name="T", deliver_policy="by_start_time", opt_start_time="2020-01-01T00:00:00Z")
        await create("CREATE.C.T2", name="T2", deliver_policy="by_start_time")
        await create("CREATE.C.P", name="P", deliver_subject="push.*")
        await create("CREATE.C.P", name="P", deliver_subject="c.loop")
        await create("CREATE.C.P", name="P", deliver_subject="push.p", max_waiting=5)
        await create("CREATE.C.P", name="P", deliver_subject="push.p", flow_control=True)
        await create("CREATE.C.P", name="P", deliver_subject="push.p", idle_heartbeat=1)
        await create("CREATE.C.P", name="P", deliver_subject="push.p", idle_heartbeat=10**9, flow_control=True)
        await create("CREATE.C.V", name="V", rate_limit_bps=1000)
        await create("CREATE.C.V", name="V", idle_heartbeat=10**9)
        await create("CREATE.C.V", name="V", flow_control=True)
        await create(
            "CREATE.C.V", name="V", ack_policy="explicit", max_deliver=2, backoff=[10**9, 2 * 10**9, 3 * 10**9]
        )
        await create("CREATE.C.V", name="V", ack_policy="explicit", backoff=[10**9, 2 * 10**9])
        await create("CREATE.C.W", name="W", num_replicas=3)
        await create("CREATE.C.W", name="W", max_batch=10, max_expires=10**9, max_bytes=1000, headers_only=True)
        await create("CREATE.C.bad/name", name="bad/name")
        await script.request("CONSUMER.CREATE.C.Z", {"stream_name": "OTHER", "config": {"name": "Z"}})
        await script.request("CONSUMER.CREATE.C.Z", {"stream_name": "C"})
        await script.request("CONSUMER.CREATE.NOPE.Z", {"stream_name": "NOPE", "config": {"name": "Z"}})
        await script.request("CONSUMER.CREATE.C.Z", {"stream_name": "C", "config": {"name": "Z"}, "action": "update"})
        asked = {"stream_name": "C", "config": {"durable_name": "A", "name": "A", "ack_policy": "explicit"}}
        await script.request("CONSUMER.CREATE.C.A", asked | {"action": "create"})
        asked["config"] |= {"max_ack_pending": 7}
        await script.request("CONSUMER.CREATE.C.A", asked | {"action": "create"})
        await script.request("CONSUMER.CREATE.C.A", asked | {"action": "update"})
        for name in ("A", "B", "P", "NOPE"):
            await script.request(f"CONSUMER.INFO.C.{name}")
        await script.request("CONSUMER.NAMES.C")
        await script.request("CONSUMER.NAMES.NOPE")
        await script.request("CONSUMER.LIST.C")
        await script.request("CONSUMER.PAUSE.C.A", {"pause_until": "2060-01-01T00:00:00Z"})
        await script.request("CONSUMER.INFO.C.A")
        await script.request("CONSUMER.PAUSE.C.A", b"{}")
        await script.request("STREAM.INFO.C")
        await script.request("CONSUMER.DELETE.C.A")
        await script.request("CONSUMER.DELETE.C.A")
        await script.request("STREAM.DELETE.C")

    compare(pair, scenario)


def test_messages_are_pulled(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.G", {"name": "G", "subjects": ["g.>"]})
        asked = {"stream_name": "G", "config": {"durable_name": "D", "ack_policy": "explicit", "max_batch": 100}}
        await script.request("CONSUMER.CREATE.G.D", asked | {"config": asked["config"] | {"name": "D"}})
        await script.next("G", "D", {"no_wait": True}, 1)
        await script.next("G", "D", {"expires": 10**8}, 1)
        await script.next("G", "D", {"expires": 2 * 10**9, "idle_heartbeat": 2 * 10**8}, 2)
        await script.next("G", "D", {"expires": 10**8, "idle_heartbeat": 10**8}, 1)
        await script.next("G", "D", {"batch": 101}, 1)
        for number in range(10):
            await script.publish(f"g.{number % 2}", b"%d" % number)
        await script.counted("G", "D", 10)
        messages = await script.next("G", "D", b"", 1)
        await script.confirm(messages[0])
        await script.next("G", "D", b"2", 2, b"")
        await script.next("G", "D", {"batch": 3, "no_wait": True}, 3, b"+ACK")
        await script.next("G", "D", {"batch": 2, "expires": LONG, "max_bytes": 5}, 1)
        messages = await script.next("G", "D", {"batch": 10, "no_wait": True}, 5)
        await script.request("CONSUMER.INFO.G.D")
        await script.confirm(messages[1])
        await script.request("CONSUMER.INFO.G.D")
        await script.confirm(messages[0], b"+TERM")
        await script.confirm(messages[2], b"+WPI")
        await script.confirm(messages[3], b"-NAK")
        again = await script.next("G", "D", {"batch": 1, "expires": LONG}, 1)
        await script.request("CONSUMER.INFO.G.D")
        await script.confirm(messages[2])
        await script.confirm(again[0])
        await script.request("CONSUMER.INFO.G.D")
        await script.publish("g.0", b"late")
        await script.publish("g.0", b"later")
        await script.counted("G", "D", 2)
        await script.next("G", "D", {"batch": 5, "no_wait": True, "expires": 10**9}, 3, b"-NAK")
        first = await script.next("G", "D", b"1", 1)
        inbox = script.client.new_inbox()
        answers = await script.client.subscribe(inbox)
        await script.client.publish(first[0].reply, b"+NXT", reply=inbox)
        following = await answers.next_msg(PATIENCE_SECONDS)
        script.note("next by acknowledgement", [following.data.decode()])
        await script.client.publish(following.reply, b"")
        await script.request("CONSUMER.DELETE.G.D")
        await script.next("G", "D", b"1", 1)
        await script.request("STREAM.DELETE.G")

    compare(pair, scenario)


def test_messages_come_again(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
        config = {"durable_name": "D", "name": "D", "ack_policy": "explicit", "ack_wait": 2 * 10**8, "max_deliver": 2}
        await script.request("CONSUMER.CREATE.A.D", {"stream_name": "A", "config": config})
        await script.publish("a.1", b"1")
        await script.next("A", "D", {"batch": 1, "expires": LONG}, 1)

        async def wait_for_the_end() -> None:
            await script.next("A", "D", {"batch": 1, "expires": LONG}, 1)
            await script.next("A", "D", {"batch": 1, "expires": 10**9}, 1)

        await script.heard("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", 1, wait_for_the_end)
        await script.next("A", "D", {"batch": 1, "no_wait": True}, 1)
        config = {"durable_name": "E", "name": "E", "ack_policy": "all", "max_ack_pending": 2}
        await script.request("CONSUMER.CREATE.A.E", {"stream_name": "A", "config": config})
        for number in range(4):
            await script.publish("a.2", b"%d" % number)
        await script.counted("A", "E", 5)
        messages = await script.next("A", "E", {"batch": 5, "expires": 3 * 10**8}, 3)
        await script.confirm(messages[1])
        await script.request("CONSUMER.INFO.A.E")
        await script.next("A", "E", {"batch": 2, "expires": LONG}, 2)
        await script.request("STREAM.DELETE.A")

    compare(pair, scenario)


def test_messages_are_pushed(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.H", {"name": "H", "subjects": ["h.>"]})
        for number in range(3):
            await script.publish("h.1", b"%d" % number)

        async def create(name: str, **config: object) -> None:
            asked = {"stream_name": "H", "config": {"name": name} | config}
            await script.request(f"CONSUMER.CREATE.H.{name}", asked)

        await script.heard("to.1", 3, lambda: create("A", deliver_subject="to.1"))
        config = {"deliver_subject": "to.2", "ack_policy": "explicit", "ack_wait": 3 * 10**8, "max_deliver": 2}
        await script.heard("to.2", 6, lambda: create("B", **config))
        await script.heard(
            "to.3", 4, lambda: create("C", deliver_subject="to.3", idle_heartbeat=2 * 10**8, flow_control=True)
        )
        await script.heard("to.4", 1, lambda: create("D", deliver_subject="to.4", deliver_policy="last"))
        await script.heard("to.5", 3, lambda: create("E", deliver_subject="to.5", headers_only=True))
        await script.request("STREAM.DELETE.H")

    compare(pair, scenario)


def test_a_work_queue_holds_what_is_to_be_done(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.W", {"name": "W", "subjects": ["w.>"], "retention": "workqueue"})

        async def create(name: str, **config: object) -> None:
            asked = {"stream_name": "W", "config": {"name": name, "durable_name": name} | config}
            await script.request(f"CONSUMER.CREATE.W.{name}", asked)

        await create("A", ack_policy="none")
        await create("A", ack_policy="explicit", deliver_policy="new")
        await create("A", ack_policy="explicit", filter_subject="w.1")
        await create("B", ack_policy="explicit", filter_subject="w.1")
        await create("B", ack_policy="explicit")
        await create("B", ack_policy="explicit", filter_subject="w.2")
        for number in range(4):
            await script.publish(f"w.{1 + number % 2}", b"%d" % number)
        await script.counted("W", "A", 2)
        messages = await script.next("W", "A", {"batch": 2, "expires": LONG}, 2)
        await script.request("STREAM.INFO.W")
        await script.confirm(messages[0])
        await script.holding("W", 3)
        await script.request("STREAM.INFO.W")
        await script.request("STREAM.DELETE.W")
        await script.request("STREAM.CREATE.I", {"name": "I", "subjects": ["i.>"], "retention": "interest"})
        await script.publish("i.nobody", b"")
        await script.request("STREAM.INFO.I")
        for name in ("X", "Y"):
            config = {"name": name, "durable_name": name, "ack_policy": "explicit"}
            await script.request(f"CONSUMER.CREATE.I.{name}", {"stream_name": "I", "config": config})
        await script.publish("i.two", b"")
        await script.counted("I", "X", 1)
        await script.counted("I", "Y", 1)
        first = await script.next("I", "X", b"1", 1)
        second = await script.next("I", "Y", b"1", 1)
        await script.confirm(first[0])
        await script.request("STREAM.INFO.I")
        await script.confirm(second[0])
        await script.holding("I", 0)
        await script.request("STREAM.INFO.I")
        await script.request("STREAM.DELETE.I")

    compare(pair, scenario)


def test_messages_have_lifetimes(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.T", {"name": "T", "subjects": ["t.>"], "allow_msg_ttl": True})
        await script.publish("t.1", b"", Nats_TTL="nonsense")
        await script.publish("t.1", b"", Nats_TTL="1ms")
        await script.publish("t.1", b"", Nats_TTL="1s")
        await script.publish("t.2", b"", Nats_TTL="never")
        await script.holding("T", 1)
        await script.request("STREAM.INFO.T", {"subjects_filter": ">"})
        await script.request("STREAM.DELETE.T")
        config = {"name": "U", "subjects": ["u.>"], "max_age": 10**9, "subject_delete_marker_ttl": 2 * 10**9}
        await script.request("STREAM.CREATE.U", config | {"allow_msg_ttl": True})
        config = {"name": "mark", "deliver_subject": "marks"}

        async def publish() -> None:
            await script.request("CONSUMER.CREATE.U.mark", {"stream_name": "U", "config": config})
            await script.publish("u.1", b"here")

        await script.heard("marks", 2, publish)
        await script.request("STREAM.DELETE.U")

    compare(pair, scenario)


def test_streams_tell_what_becomes_of_them(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        async def doing() -> None:
            await script.request("STREAM.CREATE.E", {"name": "E", "subjects": ["e"]})
            await script.request("STREAM.UPDATE.E", {"name": "E", "subjects": ["e"], "max_msgs": 7})
            asked = {"stream_name": "E", "config": {"name": "C", "durable_name": "C"}}
            await script.request("CONSUMER.CREATE.E.C", asked)
            await script.request("CONSUMER.DELETE.E.C")
            await script.request("STREAM.DELETE.E")

        for message in await script.heard("$JS.EVENT.ADVISORY.*.*.E.>", 2, doing):
            assert message.subject.endswith(".E.C")

    compare(pair, scenario)
