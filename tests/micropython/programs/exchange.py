"""A device that talks to itself through a server: URL and the name of one of the stories below, which says "right"."""

import asyncio
import sys

import leafgate

RX = 1024


async def expected(subscription, *payloads):
    for payload in payloads:
        message = await asyncio.wait_for(subscription.__anext__(), 5)
        assert message.data == payload, message.data


async def rest(subscription):
    """What it gives out until it ends."""
    payloads = []
    async for message in subscription:
        payloads.append(message.data)
    return payloads


async def subjects(client):
    all_of = await client.subscribe("shed.>")
    one = await client.subscribe("shed.*.state")
    await client.publish("shed.pump.state", "on")
    await client.publish("shed.light", b"", reply="shed.answers")
    message = await all_of.__anext__()
    assert (message.subject, message.reply, message.data) == ("shed.pump.state", "", b"on")
    message = await all_of.__anext__()
    assert (message.subject, message.reply, message.data) == ("shed.light", "shed.answers", b"")
    await expected(one, b"on")
    assert not one.waiting


async def callbacks(client):
    taken = []

    async def take(message):
        await asyncio.sleep_ms(1)
        taken.append(message.data)

    await client.subscribe("in", cb=take)
    for number in range(10):
        await client.publish("in", str(number))
    while len(taken) < 10:
        await asyncio.sleep_ms(1)
    assert taken == [b"%d" % number for number in range(10)]


async def failing_callback(client):
    told = []
    client.on_status = lambda state, detail: told.append((state, str(detail)))
    taken = []

    async def take(message):
        taken.append(1 // int(message.data))

    await client.subscribe("in", cb=take)
    await client.publish("in", b"0")
    await client.publish("in", b"1")
    while not taken:
        await asyncio.sleep_ms(1)
    assert taken == [1]
    assert told == [("error", "divide by zero")], told


async def queue_group(client):
    first = await client.subscribe("jobs", queue="workers", pending=100)
    second = await client.subscribe("jobs", queue="workers", pending=100)
    every = await client.subscribe("jobs", pending=100)
    for number in range(60):
        await client.publish("jobs", str(number))
    await client.flush()
    assert len(first.waiting) + len(second.waiting) == 60
    assert len(every.waiting) == 60


async def headers(client):
    sub = await client.subscribe("in")
    given = {"Content-Type": "text/plain", "Ort": "Gew\u00e4chshaus", "empty": ""}
    await client.publish("in", b"data", headers=given)
    await client.publish("in", b"", headers={"a": "1:2"})
    await client.publish("in", b"plain")
    message = await sub.__anext__()
    assert message.headers == given, message.headers
    assert message.data == b"data"
    assert message.status == 0
    message = await sub.__anext__()
    assert message.headers == {"a": "1:2"}
    assert message.data == b""
    message = await sub.__anext__()
    assert message.headers == {}
    assert message.data == b"plain"


async def requests(client):
    async def answer(message):
        await message.respond(b"re " + message.data, headers={"seen": message.headers.get("q", "-")})

    await client.subscribe("ask", cb=answer, pending=30)
    reply = await client.request("ask", b"one", headers={"q": "yes"})
    assert (reply.data, reply.headers) == (b"re one", {"seen": "yes"})
    many = [asyncio.create_task(client.request("ask", str(number), timeout=60)) for number in range(30)]
    for number, task in enumerate(many):
        assert (await task).data == b"re %d" % number


async def nobody_answers(client):
    try:
        await client.request("nobody", b"", timeout=60)
        raise AssertionError("there was somebody")
    except leafgate.NoResponders as error:
        assert str(error) == "nobody"
    late = []

    async def answer_late(message):
        await asyncio.sleep_ms(200)
        await message.respond(b"late")
        late.append(message)

    await client.subscribe("slow", cb=answer_late)
    try:
        await client.request("slow", timeout=0.05)
        raise AssertionError("that was not late")
    except asyncio.TimeoutError:
        pass
    while not late:
        await asyncio.sleep_ms(5)
    await client.flush()
    assert (await client.request("slow", timeout=60)).data == b"late"


async def flushed(client):
    sub = await client.subscribe("in", pending=100)
    for _ in range(100):
        await client.publish("in", b"x")
    await client.flush()
    assert len(sub.waiting) == 100
    # Several at once, while others publish.
    flushes = [asyncio.create_task(client.flush()) for _ in range(5)]
    for _ in range(20):
        await client.publish("out", b"y")
    for flush in flushes:
        await flush


async def drained(client):
    done = []

    async def work(message):
        await asyncio.sleep_ms(2)
        await client.publish("done", message.data)
        done.append(message.data)

    await client.subscribe("jobs", cb=work, pending=50)
    sub = await client.subscribe("done", pending=50)
    for number in range(20):
        await client.publish("jobs", str(number))
    await client.drain()
    assert len(done) == 20
    assert len(await rest(sub)) <= 20  # and it ends
    assert client.closed
    for late in client.publish("in", b"x"), client.flush(), client.subscribe("in"), client.request("ask"):
        try:
            await late
            raise AssertionError("it is closed")
        except OSError as error:
            assert str(error) == "closed", error
    await client.close()  # again


async def unsubscribed(client):
    sub = await client.subscribe("in")
    other = await client.subscribe("in")
    await client.publish("in", b"1")
    await client.flush()
    await sub.unsubscribe()
    await client.publish("in", b"2")
    await client.flush()
    assert await rest(sub) == [b"1"]
    await expected(other, b"1", b"2")


async def unsubscribed_later(client):
    sub = await client.subscribe("in")
    for number in range(2):
        await client.publish("in", str(number))
    await client.flush()
    await sub.unsubscribe(after=3)
    for number in range(2, 9):
        await client.publish("in", str(number))
    await client.flush()
    assert await rest(sub) == [b"0", b"1", b"2", b"3", b"4"]
    assert not client._subs


async def sizes(client):
    sub = await client.subscribe("in")
    for size in (0, 1, 200, 230, 250, RX - 30, RX - 3, RX - 2, RX - 1, RX, RX + 1, 2 * RX, 5000, 8192):
        payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
        await client.publish("in", payload)
        await expected(sub, payload)
        await client.publish("in", payload[:-20], headers={"a": "b"})
        await expected(sub, payload[:-20])


async def too_large(client):
    sub = await client.subscribe("in")
    for size in (8193, 30000):
        await client.publish("in", bytes(size))
    await client.publish("in", b"next")
    await expected(sub, b"next")
    assert client.dropped == 2
    limit = client.info["max_payload"]
    assert limit == 65536, client.info
    for size, more in ((limit + 1, None), (limit, {"a": "b"})):
        try:
            await client.publish("in", bytes(size), headers=more)
            raise AssertionError("the server takes less")
        except ValueError:
            pass
    await client.publish("in", b"last")
    await expected(sub, b"last")


async def slow_consumer(client):
    sub = await client.subscribe("in", pending=4)
    for number in range(20):
        await client.publish("in", str(number))
    await client.flush()
    assert sub.dropped == 16
    await expected(sub, b"0", b"1", b"2", b"3")
    await client.publish("in", b"20")
    await expected(sub, b"20")


async def many_senders(client):
    """Messages of all sizes from several tasks at once arrive whole."""
    sub = await client.subscribe("in.*", pending=400)

    async def send(number):
        for size in range(0, 600, 30):
            await client.publish("in.%d" % number, bytes([number]) * size)

    tasks = [asyncio.create_task(send(number)) for number in range(10)]
    for task in tasks:
        await task
    await client.flush()
    assert len(sub.waiting) == 200
    for message in sub.waiting:
        number = int(message.subject[3:])
        assert bytes(message.data) == bytes([number]) * len(message.data)


async def without_echo(client):
    await client.close()
    client = await leafgate.connect(sys.argv[1], echo=False)
    sub = await client.subscribe("in")
    await client.publish("in", b"1")
    await client.flush()
    assert not sub.waiting
    await client.close()


async def main(story):
    client = await leafgate.connect(sys.argv[1], wait=10, name="node", rx=RX)
    await story(client)
    await client.close()
    print("right")


asyncio.run(main(globals()[sys.argv[2]]))
