"""The monitoring service: where it listens, and until when."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway.monitoring.service import MonitoringService
from gateway.monitoring.sources import Sources
from gateway.settings.monitoring import Monitoring
from tests.gateway.memory_connection import running_gateway

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def open_service() -> AsyncIterator[MonitoringService]:
    """It listens, and is not served yet."""
    async with running_gateway() as gateway:
        sources = Sources(runtime=gateway.runtime, registry=gateway.registry, accounts=gateway.accounts)
        service = MonitoringService(sources, [], gateway.admission)
        assert service.open(Monitoring(address="127.0.0.1:0")) == service.address == f"127.0.0.1:{service.port}"
        yield service


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("asks", [False, True])
async def test_port_is_free_as_soon_as_it_is_closed(asks: bool):
    async with open_service() as service, trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        async with await trio.open_tcp_stream("127.0.0.1", service.port) as stream:
            await stream.send_all(REQUEST)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            if asks:  # What came in is answered yet, or is not; nothing fails over it.
                await stream.send_all(REQUEST)
                await trio.testing.wait_all_tasks_blocked()
            service.close()
            assert refused(service.port)
            rest = b"".join([data async for data in stream])
            assert rest.count(b"HTTP/1.1 200") <= asks


async def test_closed_before_it_is_served_it_is_not_served():
    async with open_service() as service:
        service.close()
        assert refused(service.port)
        await service.run()
