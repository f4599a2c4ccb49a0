"""Nothing that was acknowledged ends early because the wall clock was set, between runs or while the gateway runs; a
real process whose clock the test sets, by a library that is preloaded.
"""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from protocols.mqtt.packets import Will
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.leafnode_pair import client, run
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient
from tests.integration.peers import Peer, running
from tests.integration.preloaded import build_library
from tests.integration.test_storage_faults import Gateway

SOURCE = Path(__file__).with_name("set_clock.c")
DAY = 86_400
HOUR = 3600
# What adjtimex says of a clock that somebody keeps right, and of one that nobody does.
KEPT, ADRIFT = 0, 5


class ClockedGateway(Gateway):
    """A gateway whose wall clock is set by `set_clock`; `state` is what the kernel says of it."""

    def __init__(self, directory: Path, library: Path, state: int) -> None:
        super().__init__(directory)
        self.clock = directory / "clock"
        preload = [f"LD_PRELOAD={library}", f"SET_CLOCK={self.clock}", f"CLOCK_STATE={state}"]
        self.peer = Peer("gateway", directory, ["env", *preload, *self.command()], self.ports)

    def set_clock(self, ahead: int) -> None:
        """Let the wall clock be so many seconds ahead of the right time."""
        self.clock.write_text(str(ahead))

    def wall_clock(self) -> datetime:
        """What the gateway takes the time for."""
        return datetime.fromisoformat(str(self.get("/varz")[1]["now"])[:19])

    @contextmanager
    def run(self) -> Iterator[Clients]:
        self.peer.start()
        with running(self.peer):
            self.peer.wait_ports()
            with Clients(self.peer.address("mqtt")) as clients:
                yield clients


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(SOURCE, tmp_path_factory.mktemp("set-clock"), "sets the clock")


def leave_behind(clients: Clients) -> None:
    """What ends a day after it was acknowledged: a session, a queued message, a retained one; a will that is due in an
    hour.
    """
    day = Properties(session_expiry_interval=DAY)
    keeper = clients.connect(5, b"keeper", clean_start=False, properties=day)
    keeper.subscribe(b"kept/#", 1)
    keeper.cut()
    will = Will(b"will", b"gone", 1, True, Properties(will_delay_interval=HOUR))
    clients.connect(5, b"dying", clean_start=False, properties=day, will=will).cut()
    writer = clients.connect(5, b"writer")
    expiry = Properties(message_expiry_interval=DAY)
    assert writer.publish(b"kept/a", b"queued", 1, properties=expiry) == 0
    retained = writer.publish(b"retained", b"state", 1, retain=True, properties=expiry)
    assert retained == ReasonCode.NO_MATCHING_SUBSCRIBERS
    writer.cut()


def come_back(clients: Clients) -> tuple[bool, list[Publish]]:
    """Whether the session is there, and what there is to hear: what was queued first, then what is retained."""
    keeper = clients.connect(5, b"keeper", clean_start=False, properties=Properties(session_expiry_interval=DAY))
    heard = [keeper.take()] if keeper.connack.session_present else []
    keeper.subscribe(b"#", 1)
    keeper.barrier()
    heard += rest(keeper)
    return keeper.connack.session_present, heard


def rest(client: RawClient) -> list[Publish]:
    heard = []
    while client.has_message():
        heard.append(client.take())
    return heard


def assert_all_there(clients: Clients) -> None:
    present, heard = come_back(clients)
    assert present
    assert [(message.topic, message.payload) for message in heard] == [(b"kept/a", b"queued"), (b"retained", b"state")]
    for message in heard:
        assert message.properties is not None
        assert message.properties.message_expiry_interval in range(DAY - 600, DAY + 1)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("first", "second"), [(-40 * DAY, 0), (0, -40 * DAY), (40 * DAY, 0)])
def test_clock_that_nobody_keeps_right_ends_nothing_between_two_runs(
    tmp_path: Path, library: Path, first: int, second: int, end: signal.Signals
) -> None:
    gateway = ClockedGateway(tmp_path, library, ADRIFT)
    gateway.set_clock(first)
    with gateway.run() as clients:
        leave_behind(clients)
        if end == signal.SIGKILL:
            gateway.peer.kill()
    gateway.set_clock(second)
    with gateway.run() as clients:
        assert_all_there(clients)


@pytest.mark.parametrize("state", [KEPT, ADRIFT])
@pytest.mark.parametrize("step", [40 * DAY, -40 * DAY])
def test_clock_that_is_set_while_the_gateway_runs_ends_nothing(
    tmp_path: Path, library: Path, state: int, step: int
) -> None:
    gateway = ClockedGateway(tmp_path, library, state)
    gateway.set_clock(0)
    with gateway.run() as clients:
        leave_behind(clients)
        before = gateway.wall_clock()
        gateway.set_clock(step)
        assert abs(gateway.wall_clock() - before) > timedelta(days=39)
        assert_all_there(clients)


def test_time_switched_off_counts_where_the_clock_is_kept_right(tmp_path: Path, library: Path) -> None:
    gateway = ClockedGateway(tmp_path, library, KEPT)
    gateway.set_clock(0)
    with gateway.run() as clients:
        leave_behind(clients)
    gateway.set_clock(2 * DAY)
    with gateway.run() as clients:
        present, heard = come_back(clients)
        assert not present
        assert [(message.topic, message.payload) for message in heard] == [(b"will", b"gone")]


@pytest.mark.parametrize("step", [40 * DAY, -40 * DAY])
@pytest.mark.parametrize("killed", [False, True])
def test_values_with_a_lifetime_and_ids_of_streams_stay_when_the_clock_is_set(
    tmp_path: Path, library: Path, step: int, killed: bool
) -> None:
    gateway = ClockedGateway(tmp_path, library, ADRIFT)
    gateway.set_clock(0)
    (tmp_path / "leafgate.toml").write_text(f"{(tmp_path / 'leafgate.toml').read_text()}\n[streams]\n")

    async def begin() -> None:
        async with client(gateway.peer) as connection:
            config = {"name": "S", "subjects": ["s.>"], "allow_msg_ttl": True, "allow_direct": True}
            answer = await connection.request("$JS.API.STREAM.CREATE.S", json.dumps(config).encode())
            assert "error" not in json.loads(answer.data)
            headers = {"Nats-Msg-Id": "one", "Nats-TTL": "1h"}
            assert json.loads((await connection.request("s.a", b"kept", headers=headers)).data)["seq"] == 1
            assert json.loads((await connection.request("s.b", b"brief", headers={"Nats-TTL": "1s"})).data)["seq"] == 2

    async def go_on() -> None:
        async with client(gateway.peer) as connection:
            again = await connection.request("s.a", b"kept", headers={"Nats-Msg-Id": "one"})
            assert json.loads(again.data)["duplicate"]
            while (await connection.request("$JS.API.DIRECT.GET.S.s.b")).data:  # noqa: ASYNC110 -- asked from outside
                await asyncio.sleep(0.05)
            assert (await connection.request("$JS.API.DIRECT.GET.S.s.a")).data == b"kept"

    with gateway.run():
        run(begin)
        if not killed:
            gateway.set_clock(step)
            run(go_on)
            return
        gateway.peer.kill()
    gateway.set_clock(step)
    with gateway.run():
        run(go_on)
