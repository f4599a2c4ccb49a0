"""What comes from other systems: published in order, where it may be, and durable before it is acknowledged."""

import msgspec
import trio

from gateway.assembly import Gateway
from gateway.dataplane.port import Port, Receiver
from gateway.integrations.inlet import ILLEGAL, NOT_PERMITTED, TOO_LARGE, Inlet
from gateway.integrations.integration import log
from gateway.runtime.drops import Drops
from gateway.settings.limits import Limits
from gateway.settings.schema import Config
from gateway.settings.security import SubjectRule
from gateway.storage.durability import Durability
from protocols.message import Message, make_message
from tests.gateway.memory_connection import running_gateway


class Listener(Receiver):
    """Refuses as many messages as it is told to, and takes the rest."""

    def __init__(self, subject: bytes, refusals: int = 0) -> None:
        super().__init__(Port(None), subject, b"")
        self.heard: list[bytes] = []
        self.refusals = refusals

    def deliver(self, message: Message, source: Port) -> bool:
        if self.refusals:
            self.refusals -= 1
            message.refused = True
        else:
            self.heard.append(message.subject)
        return True


def inlet_of(gateway: Gateway, rule: SubjectRule | None = None) -> tuple[Inlet, Drops]:
    drops = Drops(gateway.runtime.deadlines, log, "integration=test/one")
    return Inlet(gateway.runtime, gateway.account, rule, drops), drops


def messages(*subjects: bytes) -> list[Message]:
    return [make_message(subject, b"x") for subject in subjects]


async def test_messages_reach_those_who_are_interested_in_order():
    async with running_gateway() as gateway:
        listener = Listener(b">")
        gateway.account.router.subscribe(listener)
        inlet, drops = inlet_of(gateway)
        subjects = [b"a.%d" % number for number in range(3000)]
        await inlet.publish(messages(*subjects))
        told: list[bool] = []
        inlet.when_durable(lambda: told.append(True), lambda: told.append(False))
        assert told == [True]
        assert listener.heard == subjects
        assert inlet.received == 3000
        assert drops.counts == {}


async def test_what_may_never_be_published_is_dropped_and_the_rest_goes_on():
    async with running_gateway(msgspec.structs.replace(Config(), limits=Limits(max_payload_bytes=10))) as gateway:
        listener = Listener(b">")
        gateway.account.router.subscribe(listener)
        inlet, drops = inlet_of(gateway, SubjectRule(deny=("secret.>",)))
        fine = make_message(b"a", b"x")
        large = make_message(b"b", b"x" * 11)
        await inlet.publish([large, *messages(b"no subject", b"a..b", b"*", b"secret.1", b"$JS.API.X"), fine])
        assert listener.heard == [b"a"]
        assert drops.counts == {TOO_LARGE: 1, ILLEGAL: 3, NOT_PERMITTED: 2}
        assert inlet.received == 1


async def test_servers_own_subjects_need_a_rule_that_names_them():
    async with running_gateway() as gateway:
        inlet, drops = inlet_of(gateway, SubjectRule(allow=("a.>", "$KV.>")))
        await inlet.publish(messages(b"a.1", b"$KV.b.k", b"$JS.API.INFO", b"b", b"$SYS.broker.uptime"))
        assert drops.counts == {NOT_PERMITTED: 3}


async def test_what_the_disk_does_not_take_is_tried_again_and_nothing_overtakes_it(autojump_clock):
    async with running_gateway() as gateway:
        listener = Listener(b">", refusals=3)
        gateway.account.router.subscribe(listener)
        inlet, _ = inlet_of(gateway)
        faults: list[str] = []

        async def look() -> None:
            while not faults:
                await trio.sleep(0.01)
                faults.extend([inlet.fault] if inlet.fault else [])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await inlet.publish(messages(b"1", b"2", b"3"))
        assert listener.heard == [b"1", b"2", b"3"]
        assert faults
        assert not inlet.fault


class Broken(Durability):
    def when_durable(self, action, refused=None) -> None:
        assert refused is not None
        refused()


async def test_what_can_never_be_stored_is_not_said_to_be():
    async with running_gateway() as gateway:
        inlet, _ = inlet_of(gateway)
        gateway.account.durability = Broken()
        told: list[bool] = []
        inlet.when_durable(lambda: told.append(True), lambda: told.append(False))
        assert told == [False]
