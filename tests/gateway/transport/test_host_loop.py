"""The host loop: sockets, deadlines, other threads and trio's tasks all have their turn."""

import socket
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio

from gateway.assembly import Gateway
from gateway.settings.schema import Config
from gateway.transport.connection import Connection
from gateway.transport.host_loop import HostLoop
from tests.gateway.transport.test_connection import Recorder, echo, tcp_pair
from tests.patience import PATIENCE_SECONDS


def run_on_host_loop(main: Callable[[Gateway, HostLoop], Awaitable[object]]) -> object:
    gateway = Gateway(Config())
    loop = HostLoop(gateway.reader, gateway.runtime.deadlines, gateway.runtime.switch.flush)

    async def with_nursery() -> object:
        async with trio.open_nursery() as nursery:
            gateway.runtime.nursery = nursery
            with trio.fail_after(PATIENCE_SECONDS):
                result = await main(gateway, loop)
            gateway.registry.cut_all()
            nursery.cancel_scope.cancel()
        return result

    return loop.run(with_nursery)


def connect(gateway: Gateway) -> tuple[Connection, socket.socket]:
    far, near = tcp_pair()
    connection = gateway.registry.connection_over(far)
    connection.session = Recorder(connection, echo)
    connection.begin()
    gateway.runtime.switch.flush()
    return connection, near


async def heard(near: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        await trio.lowlevel.wait_readable(near)
        data += near.recv(count - len(data))
    return data


def test_result_of_the_guest_is_returned_and_its_exception_raised():
    async def answer(gateway: Gateway, loop: HostLoop) -> int:
        await trio.lowlevel.checkpoint()
        return 42

    async def fail(gateway: Gateway, loop: HostLoop) -> None:
        raise KeyError("guest")

    assert run_on_host_loop(answer) == 42
    with pytest.RaisesGroup(pytest.RaisesExc(KeyError)):
        run_on_host_loop(fail)


def test_socket_is_served_while_tasks_of_trio_wait():
    async def exchange(gateway: Gateway, loop: HostLoop) -> None:
        connection, near = connect(gateway)
        assert await heard(near, 6) == b"hello\n"
        for data in (b"one", b"two"):
            near.send(data)
            assert await heard(near, 3) == data
        near.close()
        await connection.wait_ended()

    run_on_host_loop(exchange)


def test_deadline_falls_due_without_any_traffic():
    async def wait(gateway: Gateway, loop: HostLoop) -> list[str]:
        order: list[str] = []
        done = trio.Event()
        now = trio.current_time()
        gateway.runtime.deadlines.call_at(now + 0.02, lambda _: (order.append("second"), done.set()))
        gateway.runtime.deadlines.call_at(now + 0.01, lambda _: order.append("first"))
        await done.wait()
        return order

    assert run_on_host_loop(wait) == ["first", "second"]


def test_call_from_another_thread_wakes_the_loop():
    async def wait(gateway: Gateway, loop: HostLoop) -> int:
        done = trio.Event()
        threads: list[int] = []

        def call() -> None:
            threads.append(threading.get_ident())
            done.set()

        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(call,))
        thread.start()
        await done.wait()
        thread.join()
        return threads[0]

    assert run_on_host_loop(wait) == threading.get_ident()


def test_flood_on_one_socket_leaves_tasks_of_trio_their_turn():
    async def flood(gateway: Gateway, loop: HostLoop) -> None:
        _, near = connect(gateway)
        near.setblocking(True)
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                near.send(b"x" * 1000)
                near.recv(1 << 16)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            for _ in range(20):
                await trio.sleep(0.001)
        finally:
            stop.set()
            await trio.to_thread.run_sync(thread.join)
            near.close()

    run_on_host_loop(flood)
