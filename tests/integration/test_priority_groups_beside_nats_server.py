"""Priority groups of the gateway's consumers beside nats-server's: who of several clients gets messages."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from tests.integration.jetstream_requests import Script, comparable_message
from tests.integration.peers import Peer
from tests.integration.test_jetstream_beside_nats_server import compare, pair
from tests.patience import PATIENCE_SECONDS

__all__ = ["pair"]

PULL = {"ack_policy": "explicit", "ack_wait": 60 * 10**9}
QUIET_SECONDS = 0.3


async def make(script: Script, name: str, messages: int = 6, **config: Any) -> None:
    """A stream of that name with messages, and its consumer C."""
    await script.request(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"]})
    for number in range(messages):
        await script.publish(f"{name}.{number}", b"%d" % number)
    asked = {"stream_name": name, "config": {"durable_name": "C", **PULL, **config}}
    await script.request(f"CONSUMER.CREATE.{name}.C", asked)
    await script.counted(name, "C", messages)


class Puller:
    """One that asks a consumer for messages, and what it is sent."""

    def __init__(self, script: Script, stream: str, number: int) -> None:
        self._script = script
        self._client: Client = script.client
        self._subject = f"{script.prefix}.CONSUMER.MSG.NEXT.{stream}.C"
        self._number = number
        self.inbox = self._client.new_inbox()
        self.pin = ""
        self._heard: Subscription | None = None

    async def ask(self, **asked: Any) -> None:
        if self._heard is None:
            self._heard = await self._client.subscribe(self.inbox)
        fields = {"batch": 1, "expires": 60 * 10**9, "group": "A", **asked}
        payload = ",".join(
            f'"{name}":{value if isinstance(value, int) else chr(34) + value + chr(34)}'
            for name, value in fields.items()
        )
        await self._client.publish(self._subject, f"{{{payload}}}".encode(), reply=self.inbox)
        await self._client.flush()

    async def note(self, step: str, count: int, ack: bytes | None = b"+ACK") -> None:
        """Note so many messages, and acknowledge them."""
        assert self._heard is not None
        found = [await self._heard.next_msg(PATIENCE_SECONDS) for _ in range(count)]
        told = [comparable_message(one) | {"subject": one.subject.replace(self.inbox, "*")} for one in found]
        self._script.note(f"{step} {self._number}", told)
        for one in found:
            self.pin = (one.headers or {}).get("Nats-Pin-Id", self.pin)
            if ack is not None and one.reply:
                await self._client.publish(one.reply, ack)
        await self._client.flush()

    async def note_nothing(self, step: str) -> None:
        assert self._heard is not None
        await asyncio.sleep(QUIET_SECONDS)
        self._script.note(f"{step} {self._number}", self._heard.pending_msgs)


def test_priority_groups_are_configured(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await script.request("STREAM.CREATE.PC", {"name": "PC", "subjects": ["PC.>"]})
        for name, config in (
            ("P1", {"priority_policy": "overflow"}),
            ("P2", {"priority_policy": "overflow", "priority_groups": [""]}),
            ("P3", {"priority_policy": "overflow", "priority_groups": ["no spaces"]}),
            ("P4", {"priority_policy": "overflow", "priority_groups": ["x" * 17]}),
            ("P5", {"priority_groups": ["A"]}),
            ("P6", {"priority_policy": "none", "priority_timeout": 10**9}),
            ("P7", {"priority_policy": "overflow", "priority_groups": ["A"], "deliver_subject": "to"}),
            ("P8", {"priority_policy": "overflow", "priority_groups": ["A"]}),
            ("P9", {"priority_policy": "pinned_client", "priority_groups": ["A", "B"]}),
            ("P10", {"priority_policy": "pinned_client", "priority_groups": ["A"], "priority_timeout": 5 * 10**9}),
            ("P11", {"priority_policy": "prioritized", "priority_groups": ["A"]}),
        ):
            asked = {"stream_name": "PC", "config": {"durable_name": name, **PULL, **config}}
            await script.request(f"CONSUMER.CREATE.PC.{name}", asked)
        await script.request("CONSUMER.INFO.PC.P9")
        for group in (b"", b"{}", b'{"group":""}', b'{"group":"no spaces"}', b'{"group":"C"}', b'{"group":"B"}'):
            await script.request("CONSUMER.UNPIN.PC.P9", group)
        await script.request("CONSUMER.UNPIN.PC.NOPE", {"group": "B"})
        await script.request("STREAM.DELETE.PC")

    compare(pair, scenario)


@pytest.mark.parametrize("policy", ["overflow", "pinned_client", "prioritized", "none"])
def test_requests_that_do_not_fit_the_policy_are_refused(pair: tuple[Peer, Peer], policy: str) -> None:
    async def scenario(script: Script) -> None:
        groups = {} if policy == "none" else {"priority_groups": ["A"], "priority_policy": policy}
        await make(script, "PR", 0, **groups)
        for number, asked in enumerate(
            (
                {"min_pending": 5},
                {"min_ack_pending": 5},
                {"id": "nobody"},
                {"priority": 10},
                {"priority": -1},
                {"group": ""},
                {"group": "B"},
            )
        ):
            puller = Puller(script, "PR", number)
            await puller.ask(**({"expires": 200_000_000, "group": "A"} | asked))
            await puller.note(f"{asked}", 1)
        await script.request("STREAM.DELETE.PR")

    compare(pair, scenario)


def test_who_overflows_gets_what_is_too_much(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await make(script, "PO", 6, priority_groups=["A"], priority_policy="overflow")
        pullers = [Puller(script, "PO", number) for number in range(3)]
        await pullers[0].ask(min_pending=5, batch=10)
        await pullers[0].note("pending", 2, None)
        await pullers[0].note_nothing("pending")
        await pullers[1].ask(min_ack_pending=3, batch=10)
        await pullers[1].note_nothing("acknowledged")
        await pullers[2].ask(batch=1)
        await pullers[2].note("any", 1, None)
        await pullers[1].note("acknowledged", 3, None)
        await script.request("STREAM.DELETE.PO")

    compare(pair, scenario)


def test_those_of_the_lowest_priority_come_first(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await make(script, "PP", 0, priority_groups=["A"], priority_policy="prioritized")
        pullers = [Puller(script, "PP", number) for number in range(4)]
        for puller, priority in zip(pullers, (5, 1, 1, 3), strict=True):
            await puller.ask(priority=priority, batch=2)
        await script.waiting("PP", "C", 4)
        for number in range(6):
            await script.publish(f"PP.{number}", b"%d" % number)
        await pullers[1].note("first", 2)
        await pullers[2].note("first", 2)
        await pullers[3].note("then", 2)
        await pullers[0].note_nothing("last")
        await script.request("STREAM.DELETE.PP")

    compare(pair, scenario)


def test_a_pinned_client_gets_all_until_it_is_unpinned(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await make(script, "PI", 0, priority_groups=["A"], priority_policy="pinned_client", priority_timeout=30 * 10**9)
        one, other, wrong = (Puller(script, "PI", number) for number in range(3))
        events = await script.client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.PI.C")
        await one.ask(batch=2)
        await other.ask(batch=5)
        await script.waiting("PI", "C", 2)
        await script.publish("PI.0", b"0")
        await one.note("pinned", 1)
        await script.publish("PI.1", b"1")
        await one.note("pinned", 1)
        await script.counted("PI", "C", 0)
        await script.request("CONSUMER.INFO.PI.C")
        await script.publish("PI.2", b"2")
        await other.note_nothing("not pinned")
        await wrong.ask(id="nobody", batch=1)
        await wrong.note("wrong", 1)
        await one.ask(batch=1, id=one.pin)
        await one.note("again", 1)
        await script.publish("PI.3", b"3")
        await other.note_nothing("not pinned")
        await script.request("CONSUMER.UNPIN.PI.C", {"group": "A"})
        await other.note("pinned now", 1)
        await one.ask(batch=1, id=one.pin)
        await one.note("no more", 1)
        await script.counted("PI", "C", 0)
        await script.request("CONSUMER.INFO.PI.C")
        await script.request("STREAM.DELETE.PI")
        heard = [comparable_message(await events.next_msg(PATIENCE_SECONDS)) for _ in range(3)]
        script.note("advisories", heard)

    compare(pair, scenario)


def test_a_pin_ends_with_its_time(pair: tuple[Peer, Peer]) -> None:
    async def scenario(script: Script) -> None:
        await make(script, "PT", 0, priority_groups=["A"], priority_policy="pinned_client", priority_timeout=10**9)
        events = await script.client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.PT.C")
        one, other = (Puller(script, "PT", number) for number in range(2))
        await one.ask(batch=1)
        await other.ask(batch=1)
        await script.waiting("PT", "C", 2)
        await script.publish("PT.0", b"0")
        await one.note("pinned", 1)
        script.note("unpinned", comparable_message(await events.next_msg(PATIENCE_SECONDS)))
        await script.publish("PT.1", b"1")
        await other.note("pinned now", 1)
        await script.request("STREAM.DELETE.PT")

    compare(pair, scenario)
