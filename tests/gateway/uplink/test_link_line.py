"""The way over one link, for who sends to its hub alone."""

import trio
from trio.testing import MockClock

from gateway.dataplane.port import Port, Receiver
from gateway.uplink.link_line import LineUser
from protocols.message import Message, make_message
from tests.gateway.memory_connection import running_gateway
from tests.gateway.nats.test_leafnode import Link, local_client


class User(LineUser):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def line_up(self) -> None:
        self.seen.append("up")

    def line_down(self) -> None:
        self.seen.append("down")


class Answers(Receiver):
    def __init__(self, subject: bytes) -> None:
        super().__init__(Port(None), subject, b"")
        self.got: list[bytes] = []

    def deliver(self, message: Message, source: Port) -> bool:
        self.got.append(message.payload())
        return True


async def test_a_message_goes_over_the_link_and_to_nobody_here_and_its_answer_comes_back():
    async with running_gateway() as gateway:
        client = local_client(gateway)
        client.receive(b"SUB s.> 1\r\n")
        link = Link(gateway)
        line = link.uplink.line
        user = User()
        line.join(user)
        assert not line.send(make_message(b"s.x", b"1"))
        link.come_up()
        assert user.seen == ["up"]
        assert not line.is_wanted(b"s.x")
        link.hub_says(b"LS+ s.*\r\nLS+ s.> crew 1\r\n")
        assert line.is_wanted(b"s.x")
        answers = Answers(b"_INBOX.store.1")
        gateway.account.router.subscribe(answers)
        assert line.send(make_message(b"s.x", b"1", reply=b"_INBOX.store.1"))
        line.flush()
        assert link.connection.take() == b"LS+ _INBOX.store.1\r\nLMSG s.x + _INBOX.store.1 crew 1\r\n1\r\n"
        assert client.take() == b""
        link.hub_says(b"LMSG _INBOX.store.1 2\r\nok\r\n")
        assert answers.got == [b"ok"]
        link.uplink._gone()
        assert user.seen == ["up", "down"]
        assert not line.send(make_message(b"s.x", b"2"))


async def test_what_the_hub_does_not_take_is_not_sent():
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up(export={"allow": ["s.>"]})
        link.hub_says(b"LS+ >\r\n")
        line = link.uplink.line
        assert not line.send(make_message(b"t.x", b"1"))
        assert not line.send(make_message(b"s.x", b"1" * 2000))
        assert line.send(make_message(b"s.x", b"1"))


async def test_the_hub_can_be_asked_for_a_sign_of_life_at_once(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        link = Link(gateway)
        link.come_up()
        line = link.uplink.line
        line.ask()
        await trio.sleep(0.1)
        assert link.connection.take() == b"PING\r\n"
        # While the answer is awaited it is not asked again.
        line.ask()
        await trio.sleep(0.1)
        assert link.connection.take() == b""
