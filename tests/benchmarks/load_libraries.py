"""What a user of a library sees: paho-mqtt and nats-py as their manuals use them, one message at a time or many.

The library is most of the cost; the rows show how much of a server's speed reaches its user.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import nats
import nats.errors
from machine import LoadError
from mixed_messages import ALL, Message, mixed_messages
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg
from paho.mqtt import client as paho
from server_process import Address

WINDOW = 100
_ANSWER_SECONDS = 30.0
_MESSAGES = 2000


def paho_rate(address: Address, window: int, seconds: float) -> float:
    """Messages per second from one client to another at QoS 1.

    Up to `window` are published at once; then both their PUBACKs and their deliveries are awaited.
    """
    messages = [(each.subject.replace(".", "/"), each.payload) for each in mixed_messages(_MESSAGES)]
    arrived = threading.Semaphore(0)
    with _paho(address) as publisher, _paho(address) as subscriber:
        subscribed = threading.Event()
        subscriber.on_subscribe = lambda *_: subscribed.set()
        subscriber.on_message = lambda *_: arrived.release()
        subscriber.subscribe(ALL.replace(".", "/").replace(">", "#"), qos=1)
        if not subscribed.wait(_ANSWER_SECONDS):
            raise LoadError("the server did not answer paho's SUBSCRIBE")
        count = 0
        begin = time.perf_counter()
        while time.perf_counter() < begin + seconds:
            places = range(count, count + window)
            published = [publisher.publish(*messages[place % _MESSAGES], qos=1) for place in places]
            _await_acknowledgements(published)
            for _ in places:
                if not arrived.acquire(timeout=_ANSWER_SECONDS):
                    raise LoadError("a message that paho published did not arrive")
            count += window
        return count / (time.perf_counter() - begin)


def _await_acknowledgements(published: Sequence[paho.MQTTMessageInfo]) -> None:
    for message in published:
        try:
            message.wait_for_publish(_ANSWER_SECONDS)
        except RuntimeError as error:
            raise LoadError(f"paho: {error}") from None
        if not message.is_published():
            raise LoadError("a message that paho published was not acknowledged")


@contextlib.contextmanager
def _paho(address: Address) -> Iterator[paho.Client]:
    """A connected client with its loop in a thread of its own."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(WINDOW)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(*address)
    client.loop_start()
    try:
        if not connected.wait(_ANSWER_SECONDS):
            raise LoadError("the server did not answer paho's CONNECT")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def nats_publish_rate(address: Address, window: int, seconds: float) -> float:
    """Messages per second from one client to another; a flush follows each `window` of them."""

    async def measure(publisher: NatsConnection, subscriber: NatsConnection, messages: list[Message]) -> float:
        arrived = 0

        async def take(_: Msg) -> None:
            nonlocal arrived
            arrived += 1

        await _subscribe(subscriber, take)

        async def turn(block: list[Message]) -> None:
            for message in block:
                await publisher.publish(message.subject, message.payload)
            await publisher.flush()

        rate, count = await _repeat(turn, messages, window, seconds)
        give_up = time.monotonic() + _ANSWER_SECONDS
        while arrived < count:
            if time.monotonic() > give_up:
                raise LoadError(f"{arrived} of {count} messages that nats-py published arrived")
            await asyncio.sleep(0.01)
        return rate

    return asyncio.run(_with_pair(address, measure))


def nats_request_rate(address: Address, window: int, seconds: float) -> float:
    """Requests answered per second, `window` of them at a time."""

    async def measure(requester: NatsConnection, responder: NatsConnection, messages: list[Message]) -> float:
        async def answer(request: Msg) -> None:
            await request.respond(request.data)

        await _subscribe(responder, answer)

        async def ask(message: Message) -> None:
            reply = await requester.request(message.subject, message.payload, timeout=_ANSWER_SECONDS)
            if reply.data != message.payload:
                raise LoadError("nats-py got another request's answer")

        async def turn(block: list[Message]) -> None:
            if len(block) == 1:
                await ask(block[0])
            else:
                await asyncio.gather(*map(ask, block))

        return (await _repeat(turn, messages, window, seconds))[0]

    return asyncio.run(_with_pair(address, measure))


async def _with_pair(
    address: Address, measure: Callable[[NatsConnection, NatsConnection, list[Message]], Awaitable[float]]
) -> float:
    try:
        async with _nats(address) as one, _nats(address) as other:
            return await measure(one, other, list(mixed_messages(_MESSAGES)))
    except nats.errors.Error as error:
        raise LoadError(f"nats-py: {error}") from None


async def _subscribe(client: NatsConnection, take: Callable[[Msg], Awaitable[None]]) -> None:
    await client.subscribe(ALL, cb=take)
    # The PING of the first may overtake the SUB, which still waits for the writing task.
    await client.flush()
    await client.flush()


@contextlib.asynccontextmanager
async def _nats(address: Address) -> AsyncIterator[NatsConnection]:
    client = await nats.connect(f"nats://{address[0]}:{address[1]}", allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


async def _repeat(
    turn: Callable[[list[Message]], Awaitable[None]], messages: list[Message], window: int, seconds: float
) -> tuple[float, int]:
    """Turn after turn of `window` messages for that long: how many a second, and how many."""
    count = 0
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        at = count % (len(messages) - window + 1)
        await turn(messages[at : at + window])
        count += window
    return count / (time.perf_counter() - begin), count
