"""Store and forward: what is acknowledged here is in the hub's stream once and in order, whatever happens between."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from tests.gateway.storage.full_disk import fill_disk, mount_small_disk, unmount
from tests.integration.leafnode_pair import LEAF_AUTHORIZATION, answer_with, client, clients, run, settled_both_ways
from tests.integration.mqtt_peers import paho_client
from tests.integration.peers import Peer, nats_server, nats_server_ready, read_ports_file, wait_until
from tests.integration.serial_line import micropython, serial_line, serial_table
from tests.integration.stored_and_forwarded import (
    buffer,
    buffer_state,
    fetched,
    hub_with_jetstream,
    make_stream,
    monitored,
    stored,
    stored_count,
    stored_whole,
    storing_gateway,
    wait_for_buffer,
    wait_until_empty,
)
from tests.micropython.unix_port import board
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Peer]:
    with hub_with_jetstream(tmp_path / "hub") as peer:
        yield peer


def restart(hub: Peer) -> None:
    hub.start()
    nats_server_ready(hub)


def start_again(edge: Peer) -> None:
    """A gateway that was killed; its ports are others."""
    ports_file = edge.directory / "ports.json"
    ports_file.unlink(missing_ok=True)
    edge.start()
    edge.wait_ready(ports_file.exists)
    edge.ports = read_ports_file(ports_file) or {}


def numbered(*numbers: int, subject: str = "sensors.a") -> list[tuple[str, bytes]]:
    return [(subject, b"%d" % number) for number in numbers]


async def publish(edge_client, *numbers: int, subject: str = "sensors.a", headers=None) -> None:
    """Publish with acknowledgements, all of them under way at once."""
    requests = [
        edge_client.request(f"$LEAFGATE.publish.{subject}", b"%d" % number, PATIENCE_SECONDS, headers=headers)
        for number in numbers
    ]
    for answer in await asyncio.gather(*requests):
        assert "seq" in json.loads(answer.data), answer.data


@pytest.mark.parametrize("domain", ["", "upstream"])
def test_messages_flow_while_the_link_is_up_and_carry_when_and_by_whom(tmp_path: Path, domain: str) -> None:
    async def test(hub: Peer, edge: Peer) -> None:
        async with client(hub) as above, client(edge, user="ann", password="secret") as here:
            await make_stream(above)
            await publish(here, 1)
            await here.publish("sensors.a", b"2", headers={"Colour": "red", "Nats-Msg-Id": "mine"})
            await here.publish("elsewhere", b"3")
            await stored_count(above, 2)
            found = await stored_whole(above)
            assert [one[:2] for one in found] == numbered(1, 2)
            first, second = (one[2] for one in found)
            assert first["Leafgate-Time"].endswith("Z")
            assert first["Leafgate-Time"] <= second["Leafgate-Time"]
            assert first["Leafgate-User"] == second["Leafgate-User"] == "ann"
            assert second["Colour"] == "red"
            assert second["Leafgate-Msg-Id"] == "mine"
            assert second["Nats-Expected-Last-Msg-Id"] == first["Nats-Msg-Id"]

    config = buffer(jetstream_domain=domain) + '[[users]]\nname = "ann"\npassword = "secret"\n'
    with (
        hub_with_jetstream(tmp_path / "hub", domain=domain) as hub,
        storing_gateway(tmp_path / "edge", hub, config) as edge,
    ):
        run(lambda: test(hub, edge))
        wait_until_empty(edge)
        assert buffer_state(edge)["forwarded"] == 2
        assert monitored(edge, "/healthz")["status"] == "ok"


def test_what_waits_while_the_hub_is_away_arrives_once_and_in_order(hub: Peer, tmp_path: Path) -> None:
    async def before() -> None:
        async with client(hub) as above:
            await make_stream(above)

    async def away(edge: Peer) -> None:
        async with client(edge) as here:
            for begin in range(0, 500, 100):
                await publish(here, *range(begin, begin + 100))
        with paho_client(edge) as device:
            for number in range(500, 520):
                device.publish("sensors/a", b"%d" % number, qos=1 + number % 2)

    async def after() -> None:
        async with client(hub) as above:
            await stored_count(above, 520)
            assert await stored(above) == numbered(*range(520))

    with storing_gateway(tmp_path / "edge", hub) as edge:
        run(before)
        hub.kill()
        run(lambda: away(edge))
        assert wait_for_buffer(edge, "520 waiting", messages=520)["state"] == "waiting"
        restart(hub)
        run(after)
        wait_until_empty(edge)


def test_live_messages_are_not_sent_beside_the_buffer(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            everything = await above.subscribe(">")
            local = await here.subscribe("sensors.>")
            # Who answers there besides the stream acknowledges nothing.
            await above.subscribe("sensors.a", cb=answer_with(b'{"stream":"OTHER","seq":1}'))
            await above.flush()
            await publish(here, *range(20))
            await stored_count(above, 20)
            await above.flush()
            seen = [everything._pending_queue.get_nowait() for _ in range(everything._pending_queue.qsize())]
            assert [one.data for one in seen if one.subject == "sensors.a"] == [b"%d" % number for number in range(20)]
            assert [(await local.next_msg(PATIENCE_SECONDS)).data for _ in range(20)] == [
                b"%d" % number for number in range(20)
            ]
            # What the hub says on such a subject comes in, and does not go back.
            await above.publish("sensors.a", b"from the hub")
            assert (await local.next_msg(PATIENCE_SECONDS)).data == b"from the hub"
            await stored_count(above, 21)
            await publish(here, 99)
            await stored_count(above, 22)
            assert (await stored(above))[-2:] == [("sensors.a", b"from the hub"), ("sensors.a", b"99")]

    with storing_gateway(tmp_path / "edge", hub) as edge:
        run(lambda: test(edge))


def test_a_killed_hub_costs_nothing_and_doubles_nothing(hub: Peer, tmp_path: Path) -> None:
    """It is killed while it drains, several times; each outage is longer than its duplicate window."""
    total = 6000

    async def fill(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            hub.kill()
            for begin in range(0, total, 500):
                await publish(here, *range(begin, begin + 500), subject=f"sensors.{begin % 3}")

    async def some_more(count: int) -> None:
        async with client(hub) as above:
            await stored_count(above, count)

    async def whole() -> None:
        async with client(hub) as above:
            await stored_count(above, total)
            assert [payload for _, payload in await stored(above)] == [b"%d" % number for number in range(total)]

    with storing_gateway(tmp_path / "edge", hub, buffer(max_messages_per_second=6000)) as edge:
        run(lambda: fill(edge))
        for count in (1, 1000, 3000):
            restart(hub)
            run(lambda count=count: some_more(count))
            hub.kill()
            wait_for_buffer(edge, "the link's loss", state="waiting")
        restart(hub)
        run(whole)
        wait_until_empty(edge)
        assert buffer_state(edge)["resent"] > 0


def test_a_killed_gateway_loses_and_doubles_nothing(hub: Peer, tmp_path: Path) -> None:
    acknowledged: list[int] = []

    async def prepare() -> None:
        async with client(hub) as above:
            await make_stream(above)

    async def publish_until_killed(edge: Peer, begin: int) -> None:
        """Many under way when it is killed: those that were not acknowledged may be there or not."""
        async with client(edge) as here:
            answered = 0

            async def one(number: int) -> None:
                nonlocal answered
                try:
                    answer = await here.request("$LEAFGATE.publish.sensors.a", b"%d" % number)
                except nats.errors.Error:
                    return
                if "seq" in json.loads(answer.data):
                    acknowledged.append(number)
                    answered += 1
                    if answered == 300:
                        edge.kill()
                        for task in tasks:
                            task.cancel()

            tasks = [asyncio.create_task(one(number)) for number in range(begin, begin + 600)]
            await asyncio.wait(tasks)
            assert edge.is_dead()

    async def whole() -> None:
        async with client(hub) as above:
            found = [int(payload) for _, payload in await stored(above)]
            assert len(found) == len(set(found))
            assert set(acknowledged) <= set(found)
            assert found == sorted(found)

    run(prepare)
    with storing_gateway(tmp_path / "edge", hub) as edge:
        for turn in range(4):
            run(lambda turn=turn: publish_until_killed(edge, 1000 * turn))
            start_again(edge)
            wait_until_empty(edge)
        run(whole)
        assert len(acknowledged) >= 4 * 300


def test_a_stream_that_is_missing_or_full_is_waited_for_and_said(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await publish(here, *range(10))
            state = wait_for_buffer(edge, "a missing stream", state="held", messages=10)
            assert "no stream that takes sensors.a" in state["last_error"]
            health = monitored(edge, "/healthz")
            assert health["status"] == "degraded"
            assert "no stream" in health["store-and-forward"]["cloud"]
            await make_stream(above, max_msgs=20, discard="new")
            await publish(here, *range(10, 30))
            await stored_count(above, 20)
            wait_for_buffer(edge, "a full stream", state="held", messages=10)
            assert "maximum messages exceeded" in buffer_state(edge)["last_error"]
            await above.jetstream().purge_stream("SENSORS")
            await stored_count(above, 10)
            assert await stored(above) == numbered(*range(20, 30))

    with storing_gateway(tmp_path / "edge", hub) as edge:
        run(lambda: test(edge))
        wait_until_empty(edge)


def test_a_message_that_can_never_be_taken_keeps_nobody(tmp_path: Path) -> None:
    async def test(edge: Peer, hub: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above, max_msg_size=2000)
            await publish(here, 1)
            await here.request(
                "$LEAFGATE.publish.sensors.a", b"x" * 3000, PATIENCE_SECONDS
            )  # Too large for the stream.
            await publish(here, 2)
            await here.request("$LEAFGATE.publish.sensors.a", b"x" * 9000, PATIENCE_SECONDS)  # Too large for the hub.
            await publish(here, 3, 4)
            await stored_count(above, 4)
            assert await stored(above) == numbered(1, 2, 3, 4)

    with (
        hub_with_jetstream(tmp_path / "hub", "max_payload: 8000") as hub,
        storing_gateway(tmp_path / "edge", hub) as edge,
    ):
        run(lambda: test(edge, hub))
        wait_until_empty(edge)
        assert sum(buffer_state(edge)["dropped"].values()) == 2
        assert "messages are lost" in monitored(edge, "/healthz")["store-and-forward"]["cloud"]
        edge.wait_for_log("event=dropped", count=2)


def test_several_streams_and_buffers_are_kept_apart(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            for name in ("a", "b"):
                await make_stream(above, name.upper(), (f"{name}.>",))
            for number in range(100):
                for subject in ("a.x", "b.x", "c.x"):
                    await here.publish(subject, b"%d" % number)
            for name in ("a", "b"):
                await stored_count(above, 100, name.upper())
                assert await stored(above, name.upper()) == numbered(*range(100), subject=f"{name}.x")
            await make_stream(above, "C", ("c.>",))
            await stored_count(above, 100, "C")
            assert await stored(above, "C") == numbered(*range(100), subject="c.x")

    config = buffer(("a.>", "b.>")) + buffer(("c.>",), name="third")
    with storing_gateway(tmp_path / "edge", hub, config) as edge:
        run(lambda: test(edge))
        wait_until_empty(edge)
        wait_until_empty(edge, "third")


def test_what_becomes_of_a_backlog_is_told_where_links_are(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            told = await here.subscribe("$LEAFGATE.uplink.*")
            await here.flush()
            hub.kill()
            await publish(here, *range(10))
            states = await buffer_states(told, "waiting")
            restart(hub)
            states += await buffer_states(told, "drained")
            assert [state for state in states if state != "draining"] == ["waiting", "drained"]

    async def buffer_states(told: Any, last: str) -> list[str]:
        states: list[str] = []
        while last not in states:
            about = json.loads((await told.next_msg(PATIENCE_SECONDS)).data)
            if about.get("buffer") == "cloud":
                states.append(about["state"])
                assert about["state"] != "drained" or about["messages"] == 0
        return states

    with storing_gateway(tmp_path / "edge", hub) as edge:
        edge.wait_for_log("event=up")
        run(lambda: test(edge))
        metrics = fetched(edge, "/metrics")
        assert 'leafgate_buffer_forwarded_messages_total{account="$G",buffer="cloud"} 10.0' in metrics


def test_what_spokes_of_the_gateway_publish_is_stored_too(hub: Peer, tmp_path: Path) -> None:
    listener = 'protocol = "leafnode"\naddress = "127.0.0.1:0"\n'
    with storing_gateway(tmp_path / "edge", hub, buffer() + "[[listeners]]\n" + listener, protocols=("nats",)) as edge:
        remote = f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{edge.ports["leafnode"]}" }} ] }}'
        with nats_server(tmp_path / "spoke", f"server_name: spoke\n{remote}\n") as spoke:

            async def test() -> None:
                async with clients(hub, edge, spoke) as (above, here, below):
                    await make_stream(above)
                    await settled_both_ways(below, here)
                    for number in range(20):
                        await below.publish("sensors.a", b"%d" % number)
                    await stored_count(above, 20)
                    assert await stored(above) == numbered(*range(20))

            run(test)
            wait_until_empty(edge)


def test_a_jetstream_client_is_answered_once_its_message_is_on_the_disk(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            hub.kill()
            jetstream = here.jetstream()
            first = await jetstream.publish("sensors.a", b"1", headers={"Nats-Msg-Id": "one"})
            again = await jetstream.publish("sensors.a", b"1", headers={"Nats-Msg-Id": "one"})
            second = await jetstream.publish("sensors.a", b"2")
            assert (first.stream, first.duplicate, again.duplicate) == ("cloud", None, True)
            assert second.seq == first.seq + 1
        restart(hub)
        async with client(hub) as above:
            await stored_count(above, 2)
            assert await stored(above) == numbered(1, 2)

    with storing_gateway(tmp_path / "edge", hub) as edge:
        run(lambda: test(edge))


@pytest.mark.parametrize(
    ("when_full", "kept", "reason"),
    [
        ("drop-oldest", range(50, 100), "the oldest is dropped"),
        ("drop-newest", range(50), "the newest is dropped"),
    ],
)
def test_a_full_buffer_drops_as_it_is_told_and_says_so(
    hub: Peer, tmp_path: Path, when_full: str, kept: range, reason: str
) -> None:
    async def away(edge: Peer) -> None:
        hub.kill()
        async with client(edge) as here:
            for number in range(100):
                await publish(here, number)

    async def after() -> None:
        async with client(hub) as above:
            await make_stream(above)
            await stored_count(above, len(kept))
            assert await stored(above) == numbered(*kept)

    with storing_gateway(tmp_path / "edge", hub, buffer(max_messages=50, when_full=when_full)) as edge:
        run(lambda: away(edge))
        edge.wait_for_log("event=dropped")
        wait_until(lambda: reason in str(monitored(edge, "/healthz")), "health that tells of it")
        wait_until(lambda: sum(buffer_state(edge)["dropped"].values()) == 50, "all of them counted")
        restart(hub)
        run(after)
        wait_until_empty(edge)


@pytest.mark.parametrize("when_full", ["last-value", {"keep-one-in-seconds": 3600}])
def test_a_full_buffer_is_thinned_out(hub: Peer, tmp_path: Path, when_full: object) -> None:
    async def away(edge: Peer) -> None:
        hub.kill()
        async with client(edge) as here:
            await publish(here, 0, subject="sensors.rare")
            for begin in range(0, 920, 92):
                await publish(here, *range(begin, begin + 92), subject="sensors.often")

    async def after() -> None:
        async with client(hub) as above:
            await make_stream(above)
            await stored_count(above, left)
            found = await stored(above)
            assert found[0] == ("sensors.rare", b"0")
            # Those that came behind the thinning are all there.
            kept = [int(payload) for _, payload in found[1:]]
            assert kept == sorted(set(kept))
            assert kept[-1] == 919 if when_full == "last-value" else kept[0] == 0

    with storing_gateway(tmp_path / "edge", hub, buffer(max_messages=1000, when_full=when_full)) as edge:
        run(lambda: away(edge))
        wait_until(lambda: buffer_state(edge)["messages"] < 200, "a thinned buffer")
        left = buffer_state(edge)["messages"]
        assert "nearly full" in str(monitored(edge, "/healthz"))
        restart(hub)
        run(after)
        wait_until_empty(edge)


def test_memory_and_no_stream_at_the_hub_where_that_is_allowed(hub: Peer, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        hub.kill()
        async with client(edge) as here:
            await publish(here, *range(100))
        wait_for_buffer(edge, "100 waiting", messages=100)
        restart(hub)
        async with client(hub) as above:
            subscription = await above.subscribe("sensors.>")
            for number in range(100):
                assert (await subscription.next_msg(PATIENCE_SECONDS)).data == b"%d" % number

    config = buffer(memory=True, require_stream=False, acknowledge_timeout_seconds=0.5)
    with storing_gateway(tmp_path / "edge", hub, config, data_directory=None) as edge:
        run(lambda: test(edge))
        wait_until_empty(edge)
        assert buffer_state(edge)["plain"] == 100


def test_reload_changes_adds_and_removes_buffers_and_touches_no_backlog(hub: Peer, tmp_path: Path) -> None:
    file = tmp_path / "edge" / "leafgate.toml"

    async def fill(edge: Peer, *numbers: int, subject: str = "sensors.a") -> None:
        async with client(edge) as here:
            await publish(here, *numbers, subject=subject)

    def reload(edge: Peer, before: str, now: str, event: str) -> None:
        count = edge.fresh_log().count(event)
        file.write_text(file.read_text().replace(before, now))
        edge.wait_for_log(event, count=count + 1)

    async def after() -> None:
        async with client(hub) as above:
            await make_stream(above)
            await make_stream(above, "MORE", ("more.>",))
            await stored_count(above, 30)
            assert await stored(above) == numbered(*range(30))
            await stored_count(above, 5, "MORE")
            assert await stored(above, "MORE") == numbered(*range(5), subject="more.a")

    plain = buffer()
    with storing_gateway(tmp_path / "edge", hub, plain) as edge:
        hub.kill()
        run(lambda: fill(edge, *range(10)))
        reload(edge, plain, buffer(("sensors.>", "more.>"), max_messages=1000), "event=reloaded")
        run(lambda: fill(edge, *range(5), subject="more.a"))
        run(lambda: fill(edge, *range(10, 20)))
        assert buffer_state(edge)["messages"] == 25
        reload(edge, "max-messages = 1000", "max-messages = -1", "event=reload-refused")
        assert buffer_state(edge)["messages"] == 25
        whole = file.read_text().replace("max-messages = -1", "max-messages = 1000")
        begin = whole.index("[[store-and-forward]]")
        file.write_text(whole[:begin])
        edge.wait_for_log("event=unconfigured")
        assert wait_for_buffer(edge, "a backlog that nobody serves", state="unconfigured")["messages"] == 25
        file.write_text(whole)
        edge.wait_for_log("event=begun uplink=cloud", count=2)
        run(lambda: fill(edge, *range(20, 30)))
        restart(hub)
        run(after)
        wait_until_empty(edge)


def test_what_boards_publish_by_their_outbox_and_over_a_serial_line_arrives_once(hub: Peer, tmp_path: Path) -> None:
    async def prepare() -> None:
        async with client(hub) as above:
            await make_stream(above, "KEPT", ("kept.>",))
            await make_stream(above, "COUNT", ("count",))

    async def whole() -> None:
        async with client(hub) as above:
            await stored_count(above, 150, "KEPT")
            assert await stored(above, "KEPT") == numbered(*range(150), subject="kept.a")
            counted = [int(payload) for _, payload in await stored(above, "COUNT")]
            assert counted == list(range(len(counted)))
            assert len(counted) >= 100

    run(prepare)
    with serial_line(tmp_path / "line") as line:
        table = serial_table(line.name, baud=921_600)
        with storing_gateway(tmp_path / "edge", hub, buffer(("kept.>", "count")) + table) as edge:
            hub.kill()
            with micropython("serial_node.py", line.device.path, 921_600):
                with board("outbox.py", json.dumps(edge.url()), "{}", 0, 150) as shed:
                    assert "dropped 0" in shed.until("acknowledged all")
                wait_until(lambda: buffer_state(edge)["messages"] >= 250, "100 messages over the line")
            restart(hub)
            run(whole)
            wait_until_empty(edge)


def test_a_disk_that_was_full_is_used_again_though_nothing_was_to_be_written_meanwhile(
    hub: Peer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if not mount_small_disk(data):
        pytest.skip("a small disk cannot be mounted here")

    async def accepted(here: Client) -> bool:
        answer = await here.request("$LEAFGATE.publish.sensors.a", bytes(1000), PATIENCE_SECONDS)
        return "seq" in json.loads(answer.data)

    async def test(edge: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            count = 1
            assert await accepted(here)
            filler = fill_disk(data)
            while await accepted(here):
                count += 1
            await stored_count(above, count)
            await asyncio.to_thread(wait_until_empty, edge)
            filler.unlink()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await accepted(here):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            await stored_count(above, count + 1)
            await asyncio.to_thread(wait_until, lambda: monitored(edge, "/healthz")["status"] == "ok", "health")

    try:
        with storing_gateway(tmp_path / "edge", hub, data_directory=data) as edge:
            run(lambda: test(edge))
    finally:
        unmount(data)


def test_a_hub_that_cannot_write_is_waited_for_and_said(tmp_path: Path) -> None:
    """A nats-server on a full disk answers the message that it could not store with nothing, and refuses the others."""
    disk = tmp_path / "disk"
    if not mount_small_disk(disk):
        pytest.skip("a small disk cannot be mounted here")

    async def before(edge: Peer, hub: Peer) -> None:
        async with client(hub) as above, client(edge) as here:
            await make_stream(above)
            await publish(here, *range(10))
            await asyncio.to_thread(wait_until_empty, edge)
            fill_disk(disk)
            for begin in range(10, 1000, 10):
                await publish(here, *range(begin, begin + 10))
            await asyncio.to_thread(wait_for_buffer, edge, "a buffer that is held", state="held")
            health = await asyncio.to_thread(monitored, edge, "/healthz")
            assert "does not say why" in health["store-and-forward"]["cloud"]

    async def after(edge: Peer, hub: Peer) -> None:
        async with client(hub) as above:
            await asyncio.to_thread(wait_until_empty, edge)
            assert await stored(above) == numbered(*range(1000))

    try:
        config = f'jetstream {{ store_dir: "{disk / "store"}", sync_interval: always }}\n'
        with (
            nats_server(tmp_path / "hub", config, leafnodes=LEAF_AUTHORIZATION) as hub,
            storing_gateway(tmp_path / "edge", hub, buffer(acknowledge_timeout_seconds=0.5)) as edge,
        ):
            run(lambda: before(edge, hub))
            hub.kill()
            (disk / "filler").unlink()
            restart(hub)
            run(lambda: after(edge, hub))
    finally:
        unmount(disk)
