"""What an outbox does without a server that acknowledges: the name of a story, and a file for its queue or "". It says
"right" at the end.
"""

import asyncio
import os
import sys
from binascii import hexlify

import leafgate
from leafgate.outbox import Outbox, Queue

NO_SPACE = 28
SIZE = 1500


def nowhere():
    """A client that never finds a server."""
    return leafgate.Client("nats://127.0.0.1:1")


def opened(path, size=SIZE, drop=False):
    name = hexlify(os.urandom(4)).decode()
    if not path:
        return Queue(name, size, drop)
    from leafgate.flash_queue import FlashQueue

    return FlashQueue(name, size, drop, path)


def taken(queue):
    entries = []
    while True:
        entry = queue.take()
        if not entry:
            return entries
        entries.append(entry)


def bodies(entries):
    return [entry[1] for entry in entries]


def text(number):
    return b"%05d" % number * 10


async def full(path):
    outbox = Outbox(nowhere(), size=SIZE, path=path)
    queued = 0
    try:
        while True:
            await outbox.publish("a", text(queued))
            queued += 1
    except OSError as error:
        assert error.errno == NO_SPACE
    assert queued * 50 > SIZE // 2 - 100, queued
    assert queued == outbox.store.count
    assert outbox.dropped == 0
    assert bodies(taken(outbox.store)) == [b"a\r\n\r\n" + text(number) for number in range(queued)]


async def oldest_give_way(path):
    outbox = Outbox(nowhere(), size=SIZE, path=path, drop=True)
    for number in range(200):
        await outbox.publish("a", text(number))
    kept = bodies(taken(outbox.store))
    assert len(kept) + outbox.dropped == 200
    assert kept == [b"a\r\n\r\n" + text(number) for number in range(200 - len(kept), 200)]
    assert len(kept) * 50 > SIZE // 4
    try:
        await outbox.publish("a", bytes(SIZE))
    except OSError as error:
        assert error.errno == NO_SPACE
    else:
        raise AssertionError
    assert len(kept) + outbox.dropped == 200


async def subjects(path):
    outbox = Outbox(nowhere(), path=path)
    cases = [(subject, None) for subject in ("", "a..b", ".a", "a.", "a b", "a\tb", "a\rb", "a\r\nb", "a\n")]
    for subject, headers in cases + [("a", {"b": "c\r\nd"}), ("a", {"b\n": "c"})]:
        try:
            await outbox.publish(subject, b"", headers)
        except ValueError:
            continue
        raise AssertionError(subject)
    assert not outbox.store.count


async def closed(path):
    client = nowhere()
    outbox = Outbox(client, path=path)
    await outbox.flush()
    await asyncio.sleep_ms(10)
    await outbox.publish("a")
    flushed = asyncio.create_task(outbox.flush())
    await client.close()
    for what in (flushed, outbox.publish("a")):
        try:
            await what
        except OSError:
            continue
        raise AssertionError


async def around(path):
    """Many times the size goes through, taken and done in any order, and the numbers never come again."""
    queue = opened(path)
    numbers = []
    expected = []
    found = []
    last = 0
    for turn in range(300):
        last += 1
        try:
            queue.put(text(last))
            expected.append(text(last))
        except OSError:
            pass
        if turn % 3:
            entry = queue.take()
            if entry:
                numbers.append(entry[0])
                found.append(entry[1])
        if len(queue.sent) > 3:
            queue.done(queue.sent[turn % 4])
            queue.done(queue.sent[0])
    for entry in taken(queue):
        numbers.append(entry[0])
        found.append(entry[1])
    assert found == expected
    assert len(expected) > 150
    assert sorted(set(numbers)) == numbers
    while queue.sent:
        queue.done(queue.sent[-1])
    assert queue.count == 0
    if path:
        assert queue.live == 0
        assert size_of(path) <= SIZE


def size_of(path):
    with open(path, "rb") as file:
        return len(file.read())


async def reopened(path):
    queue = opened(path)
    for number in range(8):
        queue.put(text(number))
    entries = taken(queue)
    for index in (0, 1, 3):
        queue.done(entries[index])
    again = opened(path)
    # The third one is not done, so nobody wrote down that the fourth is.
    assert bodies(taken(again)) == [text(number) for number in range(2, 8)]
    assert [entry[0] for entry in again.sent] == [entry[0] for entry in entries[2:]]
    again.put(text(8))
    assert again.take()[0] > entries[-1][0]
    for entry in list(again.sent):
        again.done(entry)
    assert opened(path).count == 0


async def torn(path):
    """Whatever is lost of the end, what stands before it is there, and what comes after is kept."""
    queue = opened(path)
    ends = []
    for number in range(6):
        queue.put(text(number))
        ends.append((size_of(path), number + 1))
    for entry in taken(queue)[:3]:
        queue.done(entry)
    whole = size_of(path)
    with open(path, "rb") as file:
        content = file.read()
    for length in range(whole + 1):
        for tail in (b"", b"\xff" * 40, content[ends[0][0] : ends[1][0]]):
            if tail[:1] == content[length : length + 1] == b"\xff":
                continue  # that mends what was torn
            with open(path, "wb") as file:
                file.write(content[:length] + tail)
            check_torn(path, length, ends, tail)


def check_torn(path, length, ends, tail):
    queue = opened(path)
    there = [number for end, number in ends if end <= length]
    found = bodies(taken(queue))
    last = there[-1] if there else 0
    if not tail or tail[0] == 255:
        assert found[-1:] == ([text(last - 1)] if last else []), (length, found)
        assert found == [text(number) for number in range(last - len(found), last)]
        assert len(found) >= min(last, 3)
    number = queue.next
    queue.put(b"new")
    name = queue.name
    queue = opened(path)
    entries = taken(queue)
    # Behind "new" may stand what stood behind the tear.
    assert bodies(entries)[: len(found) + 1] == found + [b"new"]
    assert entries[len(found)][0] == number
    assert queue.name == name


async def moved(path):
    """The new file takes the place of the old one, or does not: both are a whole queue."""
    queue = opened(path)
    for number in range(4):
        queue.put(text(number))
    os.rename(path, path + ".new")
    assert bodies(taken(opened(path))) == [text(number) for number in range(4)]
    with open(path + ".new", "wb") as file:
        file.write(b"half a f")
    queue = opened(path)
    assert queue.count == 4
    for number in range(4, 100):
        queue.put(text(number))
        queue.done(queue.take())
    assert bodies(taken(queue)) == [text(number) for number in range(96, 100)]
    assert bodies(taken(opened(path))) == [text(number) for number in range(96, 100)]


asyncio.run(globals()[sys.argv[1]](sys.argv[2]))
print("right")
