"""Draining: the end of a connection that loses nothing."""

import asyncio


async def drain(client, subscriptions, timeout):
    """End the subscriptions, deal with what has come, send what is left; close, after `timeout` seconds in any case."""
    try:
        await asyncio.wait_for(_drain(client, subscriptions), timeout)
    except (OSError, asyncio.TimeoutError):
        pass
    await client.close()


async def _drain(client, subscriptions):
    for sub in subscriptions:
        await client._say("UNSUB %d\r\n" % sub.sid)
    await client.flush()
    for sub in subscriptions:
        await sub.put(None)
    for sub in subscriptions:
        if sub.task and sub.task is not asyncio.current_task():
            await sub.task
    await client.flush()
