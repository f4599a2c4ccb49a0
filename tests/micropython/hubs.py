"""The hub's side of a device's streams, with nats-py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError, ServerError

from tests.integration.leafnode_pair import client
from tests.integration.peers import Peer
from tests.micropython.unix_port import PATIENCE_SECONDS

Made = TypeVar("Made")

STORE_NOT_CREATED = 10049
PROBE_SECONDS = 0.05


def at_hub(hub: Peer, work: Callable[[JetStreamContext], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with client(hub) as connection, asyncio.timeout(PATIENCE_SECONDS):
            return await work(connection.jetstream(timeout=PATIENCE_SECONDS))

    return asyncio.run(run())


async def made_anew(js: JetStreamContext, stream: str, make: Callable[[], Awaitable[Made]]) -> Made:
    """What `make` returns, which makes the stream; one of this name goes first."""
    try:
        await js.delete_stream(stream)
    except NotFoundError:
        pass
    while True:
        try:
            return await make()
        except ServerError as error:
            # The server removes the directory of the one before after it has said so.
            if error.err_code != STORE_NOT_CREATED:
                raise
            await asyncio.sleep(PROBE_SECONDS)
