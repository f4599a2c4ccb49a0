"""What `pub`, `sub`, `request` and `reply` do, with any NATS server or MQTT 5.0 broker."""

import os
import select
import time
from collections.abc import Callable

from gateway.command.clients.link import ConnectionLostError, Interest, Link, Outgoing, Received, Target
from gateway.command.clients.opening import new_inbox, open_link
from gateway.command.message_text import tell
from gateway.errors import ClientError

READ_SIZE = 64 * 1024
# Without a sign of life from us a broker may take us for gone.
TEND_SECONDS = 10.0
NO_RESPONDERS = 503
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
STANDARD_INPUT = 0
CORRELATION_BYTES = 8


def publish(target: Target, message: Outgoing) -> None:
    """Return once the server has taken the message."""
    with open_link(target) as link:
        link.publish([message])
        link.settle()


def publish_lines(target: Target, make: Callable[[bytes], Outgoing]) -> None:
    """Publish every line of standard input as it comes, and return once the server has taken them all."""
    rest, is_open = b"", True
    with open_link(target) as link:
        while is_open:
            readable, _, _ = select.select([STANDARD_INPUT, link.fileno()], [], [], TEND_SECONDS)
            if STANDARD_INPUT in readable:
                data = os.read(STANDARD_INPUT, READ_SIZE)
                is_open = bool(data)
                *lines, rest = (rest + data).split(b"\n")
                lines += [rest] if rest and not is_open else []
                link.publish([make(line) for line in lines])
            if link.fileno() in readable or not readable:
                link.tend()
        link.settle()


def subscribe(target: Target, name: bytes, queue: bytes, count: int, act: Callable[[Link, Received], None]) -> None:
    """Act on every message, `count` of them (0: for ever). Tells on standard error when the subscription stands.

    A connection that is lost is made anew; one that cannot be made at first, and a refusal, raise ClientError.
    """
    received, pause, has_stood = 0, FIRST_PAUSE, False
    while not count or received < count:
        try:
            with open_link(target, [Interest(name, queue, count and count - received)]) as link:
                tell(f"{'subscribed again' if has_stood else 'subscribed'} to {_text(name)} at {target.url}")
                has_stood, pause = True, FIRST_PAUSE
                while not count or received < count:
                    message = link.next_message(None)
                    assert message is not None
                    act(link, message)
                    received += 1
                link.settle()
        except ConnectionLostError as error:
            if not has_stood:
                raise
            if pause == FIRST_PAUSE:
                tell(f"leafgate: {error}; trying again")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def request(target: Target, message: Outgoing, seconds: float, replies: int, show: Callable[[Received], None]) -> None:
    """Show up to `replies` answers (0: all) that come within `seconds`.

    Raises ClientError when nobody listens or, where a number was asked for, when fewer have come.
    """
    inbox = new_inbox(target)
    name = _text(message.name)
    asked = Outgoing(
        message.name,
        message.payload,
        inbox,
        message.fields,
        os.urandom(CORRELATION_BYTES) if target.speaks_mqtt else None,
    )
    received = 0
    with open_link(target, [Interest(inbox, most=replies)]) as link:
        link.publish([asked])
        deadline = time.monotonic() + seconds
        while not replies or received < replies:
            answer = link.next_message(deadline)
            if answer is None:
                break
            if answer.status[0] == NO_RESPONDERS and not answer.payload:
                raise ClientError(f"no responders: nobody is subscribed to {name}")
            show(answer)
            received += 1
    if received < max(replies, 1):
        beside = f"; {received} of {replies} have come" if received else ""
        raise ClientError(f"no reply to {name} within {seconds:g} s{beside}")


def reply(
    target: Target, name: bytes, queue: bytes, count: int, payload: bytes | None, show: Callable[[Received], None]
) -> None:
    """Answer every request with `payload`, or with its own where that is None, and show it; see `subscribe`."""

    def answer(link: Link, message: Received) -> None:
        show(message)
        if message.reply:
            own = message.payload if payload is None else payload
            link.publish([Outgoing(message.reply, own, correlation=message.correlation)])

    subscribe(target, name, queue, count, answer)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
