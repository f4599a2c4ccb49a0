import logging
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

import gateway.transport.connection
from gateway.assembly import Gateway
from gateway.dataplane.outbox import CONGESTED_AT
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from tests.patience import PATIENCE_SECONDS

MIB = 1 << 20
# Less than two of these fit into the kernel's buffers of a loopback connection with SMALL_BUFFER.
SMALL_BUFFER = 1 << 15
BLOCK = b"x" * MIB


class Recorder:
    """A session that answers with what `answer` says, and remembers what happened to it."""

    kind = "test"
    port = None
    is_client = True
    has_more = False

    def __init__(self, connection: Connection, answer: Callable[["Recorder", bytes], None]) -> None:
        self.connection = connection
        self.answer = answer
        self.received = b""
        self.reasons: list[CloseReason] = []
        self.last_words = b""

    def opened(self) -> None:
        self.connection.outbox.write(b"hello\n")

    def receive(self, data: bytes) -> None:
        self.received += data
        self.answer(self, data)

    def unfinished_bytes(self) -> int:
        return 0

    def refuse_input(self, detail: str) -> None:
        pass

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return self.last_words

    def closed(self, reason: CloseReason) -> None:
        self.reasons.append(reason)

    def announce_lame_duck(self) -> None:
        self.write(b"go\n")

    def settings_changed(self) -> None:
        pass

    def describe(self) -> PeerSnapshot:
        return PeerSnapshot(type="nats")

    def write(self, data: bytes) -> None:
        self.connection.outbox.write(data)


def echo(session: Recorder, data: bytes) -> None:
    session.write(data)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a loopback connection that holds little on its way."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        listener.listen()
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    far.setblocking(False)
    near.setblocking(False)
    return far, near


class House:
    """A running gateway without listeners."""

    def __init__(self, config: Config) -> None:
        self.gateway = Gateway(config)
        self.runtime = self.gateway.runtime
        self.registry = self.gateway.registry
        self._peers: list[trio.SocketStream] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        async with trio.open_nursery() as services:
            services.start_soon(self.runtime.deadlines.run, self.runtime.switch.flush)
            services.start_soon(self.gateway.reader.run_inside_trio)
            async with trio.open_nursery() as connections:
                self.runtime.nursery = connections
                try:
                    yield self
                finally:
                    self.registry.cut_all()
                    for peer in self._peers:
                        peer.socket.close()
                connections.cancel_scope.cancel()
            services.cancel_scope.cancel()

    def connect(self, answer: Callable[[Recorder, bytes], None] = echo) -> tuple[Recorder, trio.SocketStream]:
        """A connection, and the peer's end of it."""
        far, near = tcp_pair()
        connection = self.registry.connection_over(far)
        session = Recorder(connection, answer)
        connection.session = session
        connection.begin()
        self.runtime.switch.flush()
        self._peers.append(trio.SocketStream(trio.socket.from_stdlib_socket(near)))
        return session, self._peers[-1]

    async def ended(self, session: Recorder) -> CloseReason:
        """Why a connection has ended; the session was told exactly once, and the registry forgot it."""
        with trio.fail_after(PATIENCE_SECONDS):
            await session.connection.wait_ended()
        reason = session.connection.close_reason
        assert reason is not None
        assert session.reasons == [reason]
        assert session.connection.cid not in self.registry.open
        assert session.connection.outbox.closed
        return reason


def config(**timeouts: float) -> Config:
    return Config(timeouts=Timeouts(**timeouts))


async def read_exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    with trio.fail_after(PATIENCE_SECONDS):
        while len(data) < count:
            piece = await stream.receive_some(count - len(data))
            assert piece, f"the stream ended behind {data[-100:]!r}"
            data += piece
    return data


async def read_all(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(PATIENCE_SECONDS):
        return b"".join([piece async for piece in stream])


async def test_session_hears_the_peer_and_is_heard():
    async with House(Config()).open() as house:
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        for data in (b"one", b"two"):
            await peer.send_all(data)
            assert await read_exactly(peer, 3) == data
        await peer.aclose()
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED
        assert session.received == b"onetwo"


async def test_large_amounts_pass_both_ways():
    async with House(Config()).open() as house, trio.open_nursery() as nursery:
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        data = bytes(range(256)) * 20_000
        nursery.start_soon(peer.send_all, data)
        assert await read_exactly(peer, len(data)) == data
        await peer.aclose()
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED


def released_later(session: Recorder, data: bytes) -> None:
    """Withhold what is said from the first batch on, up to the second."""
    if session.received != data:
        session.write(b"last")
        session.connection.release()
        return
    session.connection.withhold()
    session.write(BLOCK)
    session.connection.runtime.switch.flush()
    session.write(b"second")


async def test_what_is_withheld_arrives_in_order_once_it_is_released():
    async with House(Config()).open() as house:
        session, peer = house.connect(released_later)
        assert await read_exactly(peer, 6) == b"hello\n"
        await peer.send_all(b"withhold")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert session.connection.outbox.pending() == len(BLOCK) + len(b"second")
        await peer.send_all(b"release")
        assert await read_exactly(peer, len(BLOCK) + 10) == BLOCK + b"secondlast"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED


async def test_farewell_waits_with_what_is_withheld():
    async with House(Config()).open() as house:
        session, peer = house.connect(released_later)
        assert await read_exactly(peer, 6) == b"hello\n"
        await peer.send_all(b"withhold")
        await trio.testing.wait_all_tasks_blocked(0.01)
        session.connection.close(CloseReason.SERVER_SHUTDOWN, farewell=b"bye")
        session.connection.release()
        assert await read_all(peer) == BLOCK + b"secondbye"


async def test_peer_that_has_said_everything_still_gets_its_answer():
    async with House(Config()).open() as house:
        session, peer = house.connect()
        await peer.send_all(b"ping")
        await peer.send_eof()
        assert await read_all(peer) == b"hello\nping"
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED


def farewell_behind(queued: bytes) -> Callable[[Recorder, bytes], None]:
    def answer(session: Recorder, data: bytes) -> None:
        session.write(queued)
        session.connection.close(CloseReason.PARSE_ERROR, "for a test", b"-ERR 'bye'\r\n")
        session.connection.close(CloseReason.STALE_CONNECTION, "", b"too late")

    return answer


@pytest.mark.parametrize("queued", [b"", b"small", BLOCK * 4])
async def test_farewell_arrives_behind_everything_that_is_queued(queued: bytes):
    async with House(Config()).open() as house:
        session, peer = house.connect(farewell_behind(queued))
        await peer.send_all(b"nonsense")
        assert await read_all(peer) == b"hello\n" + queued + b"-ERR 'bye'\r\n"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.PARSE_ERROR
        assert session.connection.close_detail == "for a test"


async def test_peer_that_goes_on_sending_still_gets_the_farewell():
    async with House(Config()).open() as house, trio.open_nursery() as nursery:
        session, peer = house.connect(farewell_behind(b"small"))
        nursery.start_soon(peer.send_all, BLOCK * 4)
        assert await read_all(peer) == b"hello\nsmall-ERR 'bye'\r\n"
    assert session.reasons == [CloseReason.PARSE_ERROR]
    assert len(session.received) < MIB


async def test_peer_that_never_ends_its_side_is_left_after_a_moment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gateway.transport.connection, "LINGER_SECONDS", 0.01)
    async with House(Config()).open() as house:
        session, peer = house.connect(farewell_behind(b""))
        await peer.send_all(b"nonsense")
        assert await house.ended(session) is CloseReason.PARSE_ERROR
        assert await read_all(peer) == b"hello\n-ERR 'bye'\r\n"


async def test_peer_that_takes_nothing_is_left_after_the_time_it_was_given():
    def answer(session: Recorder, data: bytes) -> None:
        session.write(BLOCK * 4)
        session.connection.close(CloseReason.SERVER_SHUTDOWN, linger=0.01)

    async with House(Config()).open() as house:
        session, peer = house.connect(answer)
        await peer.send_all(b"go")
        assert await house.ended(session) is CloseReason.SERVER_SHUTDOWN
        await peer.aclose()


async def test_last_words_follow_the_farewell_as_they_are():
    def answer(session: Recorder, data: bytes) -> None:
        session.connection.outbox.encode = lambda plain: b"[%b]" % plain
        session.last_words = b"<end>"
        farewell_behind(b"data")(session, data)

    async with House(Config()).open() as house:
        session, peer = house.connect(answer)
        await peer.send_all(b"nonsense")
        assert await read_all(peer) == b"hello\n[data-ERR 'bye'\r\n]<end>"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.PARSE_ERROR


async def test_slow_consumer_is_closed_when_its_outbox_passes_the_limit():
    limits = Limits(max_pending_bytes=2 * MIB, max_payload_bytes=MIB)
    async with House(Config(limits=limits)).open() as house:
        receiver, slow = house.connect()
        assert await read_exactly(slow, 6) == b"hello\n"
        publisher, peer = house.connect(lambda session, data: receiver.write(BLOCK))
        assert await read_exactly(peer, 6) == b"hello\n"
        while receiver.connection.close_reason is None:
            await peer.send_all(b"x")
            await trio.lowlevel.checkpoint()
        assert await house.ended(receiver) is CloseReason.SLOW_CONSUMER_PENDING_BYTES
        assert house.registry.slow_consumers == 1
        assert publisher.connection.close_reason is None
        await slow.aclose()
        await peer.aclose()


async def test_slow_consumer_is_closed_when_it_takes_nothing_for_too_long():
    async with House(config(write_deadline_seconds=0.02)).open() as house:
        session, slow = house.connect(lambda session, data: session.write(BLOCK * 8))
        await slow.send_all(b"go")
        assert await house.ended(session) is CloseReason.SLOW_CONSUMER_WRITE_DEADLINE
        assert house.registry.slow_consumers == 1
        await slow.aclose()


async def test_publisher_is_held_for_a_moment_only_while_a_receiver_is_congested():
    async with House(Config()).open() as house:
        receiver, slow = house.connect()
        assert await read_exactly(slow, 6) == b"hello\n"
        publisher, peer = house.connect(lambda session, data: (receiver.write(BLOCK * 2), session.write(data)))
        assert await read_exactly(peer, 6) == b"hello\n"
        for data in (b"one", b"two"):
            await peer.send_all(data)
            assert await read_exactly(peer, 3) == data
        assert receiver.connection.outbox.pending() > CONGESTED_AT
        assert publisher.connection.stalls >= 1
        await read_exactly(slow, 4 * MIB)
        assert receiver.connection.outbox.pending() == 0
        await peer.aclose()
        await slow.aclose()
        assert await house.ended(publisher) is CloseReason.CLIENT_CLOSED
        assert await house.ended(receiver) is CloseReason.CLIENT_CLOSED


async def test_receiver_that_disappears_releases_who_was_held_for_it():
    async with House(Config()).open() as house:
        receiver, slow = house.connect()
        publisher, peer = house.connect(lambda session, data: (receiver.write(BLOCK * 2), session.write(data)))
        assert await read_exactly(peer, 6) == b"hello\n"
        await peer.send_all(b"one")
        await slow.aclose()
        assert await read_exactly(peer, 3) == b"one"
        assert await house.ended(receiver) in (
            CloseReason.WRITE_ERROR,
            CloseReason.READ_ERROR,
            CloseReason.CLIENT_CLOSED,
        )
        await peer.aclose()
        assert await house.ended(publisher) is CloseReason.CLIENT_CLOSED


async def test_connection_that_ends_before_it_begins_leaves_no_fault(caplog: pytest.LogCaptureFixture):
    async with House(Config()).open() as house:
        far, near = tcp_pair()
        connection = house.registry.connection_over(far)
        session = connection.session = Recorder(connection, echo)
        connection.outbox.write(BLOCK)
        house.runtime.switch.flush()
        near.close()
        connection.cut(CloseReason.SERVER_SHUTDOWN)
        await trio.testing.wait_all_tasks_blocked()
        assert session.reasons == [CloseReason.SERVER_SHUTDOWN]
    assert "failed" not in caplog.text


def fail(session: Recorder, data: bytes) -> None:
    raise ZeroDivisionError("a bug in a session")


async def test_fault_in_a_session_ends_its_connection_only(caplog: pytest.LogCaptureFixture):
    async with House(Config()).open() as house:
        healthy, neighbour = house.connect()
        faulty, peer = house.connect(fail)
        await peer.send_all(b"x")
        assert await read_all(peer) == b"hello\n"
        await peer.aclose()
        assert await house.ended(faulty) is CloseReason.INTERNAL_ERROR
        assert "a bug in a session" in caplog.text
        await neighbour.send_all(b"still")
        assert await read_exactly(neighbour, 11) == b"hello\nstill"
        await neighbour.aclose()
        assert await house.ended(healthy) is CloseReason.CLIENT_CLOSED


async def test_fault_in_an_encoder_ends_its_own_connection_only(caplog: pytest.LogCaptureFixture):
    async with House(Config()).open() as house:
        faulty, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        faulty.connection.outbox.encode = lambda data: 1 // 0
        healthy, neighbour = house.connect(lambda session, data: (faulty.write(data), session.write(data)))
        await neighbour.send_all(b"x")
        assert await read_exactly(neighbour, 7) == b"hello\nx"
        assert await read_all(peer) == b""
        assert await house.ended(faulty) is CloseReason.INTERNAL_ERROR
        assert "ZeroDivisionError" in caplog.text
        assert healthy.connection.close_reason is None


class Hopeless(Recorder):
    """Fails even when it is told that all is over."""

    def closed(self, reason: CloseReason) -> None:
        super().closed(reason)
        raise ZeroDivisionError("a bug in closing")


@pytest.mark.parametrize("answer", [echo, fail])
async def test_fault_in_closing_ends_its_connection_only(
    answer: Callable[[Recorder, bytes], None], caplog: pytest.LogCaptureFixture
):
    async with House(Config()).open() as house:
        session, peer = house.connect(answer)
        session.connection.session = hopeless = Hopeless(session.connection, answer)
        await peer.send_all(b"x")
        await peer.aclose()
        await house.ended(hopeless)
        assert "a bug in closing" in caplog.text


async def test_what_has_arrived_is_read_without_waiting():
    async with House(Config()).open() as house:
        far, near = tcp_pair()
        connection = house.registry.connection_over(far)
        session = connection.session = Recorder(connection, echo)
        connection.read_ready()
        near.send(b"early")
        connection.read_ready()
        connection.read_ready()
        assert session.received == b"early"
        house.runtime.switch.flush()
        assert near.recv(100) == b"early"
        far.close()
        near.close()


async def test_fault_while_draining_ends_its_connection_only(caplog: pytest.LogCaptureFixture):
    async with House(Config()).open() as house:
        session, peer = house.connect(fail)
        assert await read_exactly(peer, 6) == b"hello\n"
        await peer.send_all(b"x")
        session.connection.read_ready()
        assert "a bug in a session" in caplog.text
        await peer.aclose()
        assert await house.ended(session) is CloseReason.INTERNAL_ERROR


async def test_drained_connection_waits_for_its_peer_as_long_as_it_may():
    async with House(Config()).open() as house:
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        session.write(BLOCK * 4)
        session.connection.close(CloseReason.SERVER_SHUTDOWN, linger=math.inf)
        assert await read_all(peer) == BLOCK * 4
        await peer.aclose()
        assert await house.ended(session) is CloseReason.SERVER_SHUTDOWN


async def test_cancelled_connection_tells_its_session():
    house = House(Config())
    async with house.open():
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
    assert await house.ended(session) is CloseReason.SERVER_SHUTDOWN
    await peer.aclose()


async def test_reset_by_the_peer_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture):
    async with House(Config()).open() as house:
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        # Linger of no length: closing sends a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        await peer.aclose()
        assert await house.ended(session) is CloseReason.READ_ERROR
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_connection_is_not_read_while_an_answer_about_it_is_awaited():
    answer = trio.Event()
    heard: list[str] = []

    async def decision() -> str:
        await answer.wait()
        return "admitted"

    def ask(session: Recorder, data: bytes) -> None:
        if not heard:
            session.connection.wait_for(decision(), lambda text: (heard.append(text), session.write(b"welcome\n")))

    async with House(Config()).open() as house:
        session, peer = house.connect(ask)
        await peer.send_all(b"first")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await peer.send_all(b"second")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert session.received == b"first"
        answer.set()
        assert await read_exactly(peer, 14) == b"hello\nwelcome\n"
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert session.received == b"firstsecond"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED


async def test_answer_about_a_connection_that_has_ended_is_not_heard():
    answer = trio.Event()
    heard: list[None] = []
    async with House(Config()).open() as house:
        session, peer = house.connect(lambda session, _: session.connection.wait_for(answer.wait(), heard.append))
        await peer.send_all(b"first")
        await trio.testing.wait_all_tasks_blocked(0.01)
        session.connection.close(CloseReason.AUTHENTICATION_TIMEOUT)
        assert await read_all(peer) == b"hello\n"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.AUTHENTICATION_TIMEOUT
        answer.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert heard == []


async def test_session_frames_what_is_queued_and_nothing_that_it_has_framed_itself():
    async with House(Config()).open() as house:
        session, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        outbox = session.connection.outbox
        outbox.encode = lambda data: b"[%b]" % data
        await peer.send_all(b"x")
        assert await read_exactly(peer, 3) == b"[x]"
        outbox.write_wire(b"framed")
        assert await read_exactly(peer, 6) == b"framed"
        await peer.aclose()
        assert await house.ended(session) is CloseReason.CLIENT_CLOSED


async def test_limits_that_change_hold_for_connections_that_are_there():
    async with House(Config()).open() as house:
        session, peer = house.connect()
        limits = Limits(max_pending_bytes=2 * MIB, max_payload_bytes=MIB)
        assert house.gateway.settings.replace(Config(limits=limits)) == ["limits"]
        assert session.connection.outbox.limit == 2 * MIB
        await peer.aclose()
        await house.ended(session)


async def test_publisher_whose_messages_go_elsewhere_is_not_held_for_somebody_elses_congestion():
    async with House(Config()).open() as house:
        receiver, slow = house.connect()
        flooding, flood = house.connect(lambda session, data: receiver.write(BLOCK * 2))
        quiet, peer = house.connect()
        assert await read_exactly(peer, 6) == b"hello\n"
        for _ in range(20):
            await flood.send_all(b"y")
            await peer.send_all(b"ping")
            assert await read_exactly(peer, 4) == b"ping"
        assert flooding.connection.stalls > 0
        assert quiet.connection.stalls == 0
        await slow.aclose()
        await flood.aclose()
        await peer.aclose()


async def test_systems_error_of_our_own_is_no_read_error_and_shows_its_traceback(caplog: pytest.LogCaptureFixture):
    def fail(session: Recorder, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with House(Config()).open() as house:
        session, peer = house.connect(fail)
        await peer.send_all(b"x")
        await read_all(peer)
        await peer.aclose()
        assert await house.ended(session) is CloseReason.INTERNAL_ERROR
    (record,) = [one for one in caplog.records if one.exc_info]
    assert "event=failed" in record.getMessage()
