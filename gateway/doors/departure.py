"""Departure: how the gateway parts with its peers, all at once or, in lame-duck mode, one by one."""

import math
import random
from collections.abc import Awaitable, Callable, Iterable

import trio

from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn
from gateway.transport.census import is_link
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry
from protocols.close_reason import CloseReason

# In lame-duck mode clients are told to leave one by one, at most this far apart.
LAME_DUCK_PACE_SECONDS = 1.0


async def send_away(runtime: Runtime, registry: Registry) -> None:
    """Lame-duck mode: ask clients to go, then close them one by one over the configured time."""
    timeouts = runtime.settings.timeouts
    clients = registry.open_clients()
    if not clients:
        return
    for connection in clients:
        connection.session.announce_lame_duck()
    runtime.switch.flush()
    await trio.sleep(timeouts.lame_duck_grace_seconds)
    remaining = sorted(registry.open_clients(), key=is_link)
    span = timeouts.lame_duck_seconds - timeouts.lame_duck_grace_seconds
    pace = min(LAME_DUCK_PACE_SECONDS, span / max(len(remaining), 1))
    for connection in remaining:
        connection.close(CloseReason.SERVER_SHUTDOWN)
        runtime.switch.flush()
        await trio.sleep(pace * random.uniform(0.5, 1.0))


async def nothing_more() -> None:
    """Links may go at once."""


async def say_goodbye(
    runtime: Runtime, registry: Registry, until: float, before_links: Callable[[], Awaitable[None]] = nothing_more
) -> None:
    """Route what peers have sent already, then say goodbye to each; what is queued is delivered in the time left.

    That may be more than there is time for, which ends at `until` (trio's clock): what is not acted on then is left.
    Links go last, once `before_links` has returned: what clients leave behind, their wills, is for hubs too.
    """
    runtime.in_order.hurry()
    connections = sorted(registry.open.values(), key=lambda one: not one.session.is_client)
    with trio.move_on_at(until):
        await drain(runtime, connections)
    runtime.switch.flush()
    links = [one for one in connections if is_link(one)]
    for connection in connections:
        if not is_link(connection):
            connection.close(CloseReason.SERVER_SHUTDOWN, linger=math.inf)
    runtime.switch.flush()
    if links:
        await before_links()
    for connection in links:
        connection.close(CloseReason.SERVER_SHUTDOWN, linger=math.inf)
    runtime.switch.flush()


async def drain(runtime: Runtime, connections: Iterable[Connection]) -> None:
    turn = OwnTurn(runtime.turns)
    for connection in connections:
        if turn.is_over():
            await turn.next()
        for _ in connection.drain():
            runtime.switch.flush()
            await turn.next()
