"""The same requests at nats-server and at the gateway, and their answers in a form in which they can be compared.

What differs from run to run, or between the two by intention, is masked: times, names made up, sizes on the disk.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError

from tests.patience import PATIENCE_SECONDS

PINS = {"pinned_client_id", "pinned_ts", "pinned_id"}
TIMES = {"ts", "created", "time", "timestamp", "first_ts", "last_ts", "last_active", "pause_remaining", "ack_time"}
MASKED = PINS | TIMES | {"id"}
# How much a stream takes is counted with what it takes on the disk, which is not the same.
SIZES = {"bytes", "memory", "storage", "max_memory", "max_storage"}
# In a text of Go's about what it could not read.
INVALID_JSON = 10025
TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")
ACK_TIME = re.compile(r"(\$JS\.ACK\.[^.]+\.[^.]+\.\d+\.\d+\.\d+)\.\d+\.")


def comparable(value: Any, key: str = "") -> Any:
    """JSON of an answer, with what may differ masked."""
    if key in MASKED or (key in SIZES and isinstance(value, int)):
        return "*"
    if isinstance(value, dict):
        if value.get("err_code") == INVALID_JSON:
            return {"err_code": INVALID_JSON, "code": value["code"]}
        value = {name: one for name, one in value.items() if name not in ("cluster", "api", "limits_tier", "tiers")}
        return {name: comparable(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    return value


def comparable_message(message: Msg) -> dict[str, Any]:
    """A message that is no answer of the API's."""
    header = dict(message.headers or {})
    for name in ("Nats-Time-Stamp", "Nats-Pin-Id", "Nats-Stream-Identity"):
        if name in header:
            header[name] = "*"
    told: dict[str, Any] = {"subject": message.subject, "header": header}
    told["reply"] = ACK_TIME.sub(r"\1.*.", message.reply)
    told["data"] = readable(message.data)
    return told


def readable(data: bytes) -> Any:
    try:
        return comparable(json.loads(data))
    except ValueError:
        return data.decode("latin-1")


class Script:
    """A client, and what was answered to it so far, by the name of each step."""

    def __init__(self, client: Client, prefix: str = "$JS.API") -> None:
        self.client = client
        self.prefix = prefix
        self.answers: dict[str, Any] = {}
        self._steps = 0

    def note(self, step: str, answer: Any) -> None:
        self._steps += 1
        self.answers[f"{self._steps:03} {step}"] = answer

    async def request(self, subject: str, payload: Any = b"") -> Any:
        """Ask the API; returns the answer as it came."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        step = f"{subject} {data.decode('latin-1')[:120]}"
        try:
            message = await self._ask(f"{self.prefix}.{subject}", data)
        except NatsTimeoutError:
            self.note(step, "no answer")
            return None
        if message.headers:
            self.note(step, comparable_message(message) | {"subject": "*"})
            return message
        answer = json.loads(message.data)
        self.note(step, comparable(answer))
        return answer

    async def _ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Msg:
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox, max_msgs=1)
        await self.client.publish(subject, data, reply=inbox, headers=headers)
        return await answers.next_msg(PATIENCE_SECONDS)

    async def publish(self, subject: str, data: bytes = b"", **headers: str) -> Any:
        """Publish and wait for the acknowledgement; names of headers have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        message = await self._ask(subject, data, named or None)
        answer = comparable_message(message) | {"subject": "*"} if message.headers else readable(message.data)
        self.note(f"publish {subject} {named}", answer)
        return answer

    async def direct(self, rest: str, payload: Any = b"", most: int = 50) -> list[Msg]:
        """A direct get, with all messages of its answer."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        await self.client.publish(f"{self.prefix}.DIRECT.GET.{rest}", data, reply=inbox)
        several = b"batch" in data or b"multi_last" in data
        found = [await answers.next_msg(PATIENCE_SECONDS)]
        while several and len(found) < most and not (found[-1].headers or {}).get("Status"):
            found.append(await answers.next_msg(PATIENCE_SECONDS))
        await answers.unsubscribe()
        told = [comparable_message(one) | {"subject": "*"} for one in found]
        self.note(f"direct {rest} {data.decode()}", told)
        return found

    async def counted(self, stream: str, consumer: str, pending: int) -> None:
        """Return once so many messages are told to be there: nats-server counts them some time later."""
        await self._told(stream, consumer, "num_pending", pending)

    async def waiting(self, stream: str, consumer: str, requests: int) -> None:
        """Return once so many requests wait at a consumer: nats-server takes them up beside what is published."""
        await self._told(stream, consumer, "num_waiting", requests)

    async def answered_flow(self, listening: Subscription, place: int, number: int = 0) -> None:
        """Say at the next question of a push consumer that everything up to a place is here, which was of that number
        if the two differ; notes the messages.
        """
        told = []
        while not (message := await listening.next_msg(PATIENCE_SECONDS)).reply.startswith("$JS.FC."):
            if not (message.headers or {}).get("Status"):
                told.append(comparable_message(message))
        self.note("pushed", told)
        headers = {"Nats-Last-Consumer": str(number or place), "Nats-Last-Stream": str(place)}
        await self.client.publish(message.reply, b"", headers=headers)

    async def floor(self, stream: str, consumer: str, place: int) -> None:
        """Return once a consumer tells that everything up to a place is acknowledged, and the next was delivered."""
        while True:
            message = await self._ask(f"{self.prefix}.CONSUMER.INFO.{stream}.{consumer}", b"")
            told = json.loads(message.data)
            if told["ack_floor"]["stream_seq"] == place and (told["num_ack_pending"] == 2 or not told["num_pending"]):
                return

    async def holding(self, stream: str, messages: int) -> None:
        """Return once a stream has so many messages."""
        while True:
            message = await self._ask(f"{self.prefix}.STREAM.INFO.{stream}", b"")
            if json.loads(message.data)["state"]["messages"] == messages:
                return

    async def _told(self, stream: str, consumer: str, name: str, value: int) -> None:
        while True:
            message = await self._ask(f"{self.prefix}.CONSUMER.INFO.{stream}.{consumer}", b"")
            if json.loads(message.data)[name] == value:
                return

    async def next(self, stream: str, consumer: str, payload: Any, count: int, ack: bytes | None = None) -> list[Msg]:
        """Ask a consumer for messages, and wait for so many, statuses among them."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        await self.client.publish(f"{self.prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer}", data, reply=inbox)
        found = [await answers.next_msg(PATIENCE_SECONDS) for _ in range(count)]
        told = [comparable_message(one) for one in found]
        for one in told:
            one["subject"] = one["subject"].replace(inbox, "*")
        self.note(f"next {stream} {consumer} {data.decode()}", told)
        for message in found:
            if ack is not None and message.reply:
                await self.client.publish(message.reply, ack)
        await answers.unsubscribe()
        return found

    async def confirm(self, message: Msg, payload: bytes = b"+ACK") -> None:
        """Acknowledge, and wait until that is confirmed."""
        answer = await self._ask(message.reply, payload)
        self.note(f"confirm {payload!r}", [answer.data.decode(), dict(answer.headers or {})])

    async def heard(self, subject: str, count: int, doing: Callable[[], Awaitable[Any]]) -> list[Msg]:
        """What comes on a subject while something is done."""
        listening = await self.client.subscribe(subject)
        await doing()
        found = [await listening.next_msg(PATIENCE_SECONDS) for _ in range(count)]
        self.note(f"heard {subject}", [comparable_message(one) for one in found])
        await listening.unsubscribe()
        return found


Scenario = Callable[[Script], Awaitable[None]]


async def both(clients: Sequence[Client], scenario: Scenario) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the scenario is answered at two servers."""
    scripts = [Script(client) for client in clients]
    await asyncio.gather(*(scenario(script) for script in scripts))
    return scripts[0].answers, scripts[1].answers
