"""Rules in a gateway: what subscribers get of them, what is retained, and that nothing goes in a circle."""

import msgspec
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.nats.client import NatsClientSession
from gateway.services.rules import FAULT_SECONDS, Rules
from gateway.settings.rule import Rule as RuleConfig
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules, Export, Import
from protocols.message import RETAIN_HEADER, make_message
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import MemoryConnection, running_gateway


def rule(name: str = "one", **keys: object) -> RuleConfig:
    given = {key.replace("_", "-"): value for key, value in keys.items()}
    return msgspec.convert({"name": name, "from": "raw.*", "to": "made.$1"} | given, RuleConfig)


def at_work(gateway: Gateway, *configured: RuleConfig) -> Rules:
    rules = Rules(gateway.runtime, gateway.accounts, [])
    rules.replace(configured)
    return rules


def listen(gateway: Gateway, subject: bytes = b">", account: str = "$G") -> ClientPort:
    place = ClientPort(gateway.runtime.switch)
    gateway.accounts[account].router.subscribe(place.subscription(subject))
    return place


def connect(gateway: Gateway) -> MemoryConnection:
    connection = MemoryConnection(gateway)
    connection.start(NatsClientSession(connection, connection.gateway.admission))  # type: ignore[arg-type]
    connection.receive(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
    connection.take()
    return connection


async def test_message_and_what_is_made_of_it_reach_their_subscribers():
    async with running_gateway() as gateway:
        rules = at_work(gateway, rule(payload="payload * 2"))
        raw, made = listen(gateway, b"raw.*"), listen(gateway, b"made.*")
        connect(gateway).receive(b"PUB raw.a 2\r\n21\r\nPUB raw.a 2\r\n22\r\nPUB raw.b 1\r\n1\r\n")
        assert made.take() == b"MSG made.a 1 2\r\n42\r\nMSG made.a 1 2\r\n44\r\nMSG made.b 1 1\r\n2\r\n"
        assert raw.take().count(b"MSG raw.") == 3
        (one,) = rules.at_work
        assert (one.status().taken_msgs, one.status().made_msgs) == (3, 3)


async def test_request_through_a_rule_has_no_responders_and_what_is_made_has_no_reply():
    async with running_gateway() as gateway:
        at_work(gateway, rule())
        made = listen(gateway, b"made.*")
        connection = connect(gateway)
        connection.receive(b"SUB answers.* 7\r\nPUB raw.a answers.1 1\r\nx\r\n")
        assert made.take() == b"MSG made.a 1 1\r\nx\r\n"
        assert b"503" in connection.take()


async def test_rules_take_nothing_that_rules_made():
    async with running_gateway() as gateway:
        rules = at_work(
            gateway, rule("there", **{"from": "a.*", "to": "b.$1"}), rule("back", **{"from": "b.*", "to": "a.$1"})
        )
        place = listen(gateway)
        connect(gateway).receive(b"PUB a.x 1\r\n1\r\n")
        assert place.take() == b"MSG a.x 1 1\r\n1\r\nMSG b.x 1 1\r\n1\r\n"
        assert [one.status().taken_msgs for one in rules.at_work] == [1, 0]


async def test_rules_of_two_accounts_that_import_each_other_make_no_circle():
    accounts = (
        AccountRules(name="one", exports=(Export(stream="a.>"),), imports=(Import(stream="b.>", account="two"),)),
        AccountRules(name="two", exports=(Export(stream="b.>"),), imports=(Import(stream="a.>", account="one"),)),
    )
    async with running_gateway(Config(accounts=accounts)) as gateway:
        rules = at_work(
            gateway,
            rule("first", account="one", **{"from": "b.*", "to": "a.$1"}),
            rule("second", account="two", **{"from": "a.*", "to": "b.$1"}),
        )
        place = listen(gateway, account="one")
        source = ClientPort(gateway.runtime.switch)
        gateway.accounts["one"].publish(make_message(b"b.x", b"1"), source)
        assert place.take() == b"MSG b.x 1 1\r\n1\r\nMSG a.x 1 1\r\n1\r\n"
        assert [one.status().taken_msgs for one in rules.at_work] == [1, 0]


async def test_filter_of_everything_takes_nothing_of_the_servers():
    async with running_gateway() as gateway:
        (one,) = at_work(gateway, rule(**{"from": ">", "to": "copy.>"})).at_work
        connection = connect(gateway)
        connection.receive(b"PUB _INBOX.1 1\r\nx\r\nPUB $LEAFGATE.x 1\r\nx\r\nPUB a 1\r\nx\r\n")
        assert one.status().taken_msgs == 1


async def test_retained_is_what_is_made_of_something_retained():
    async with running_gateway() as gateway:
        at_work(
            gateway,
            rule("made", payload="payload + 1"),
            rule("never", to="never.$1", retain=False),
            rule("always", to="always.$1", payload="payload", retain=True),
        )
        retained = gateway.account.retained
        gateway.account.publish(make_message(b"raw.a", b"1", header=RETAIN_HEADER), ClientPort(gateway.runtime.switch))
        found = retained.get(b"made.a")
        assert found is not None
        assert found.payload() == b"2"
        assert retained.get(b"never.a") is None
        gateway.account.publish(make_message(b"raw.b", b"5"), ClientPort(gateway.runtime.switch))
        assert retained.get(b"made.b") is None
        found = retained.get(b"always.b")
        assert found is not None
        assert found.payload() == b"5"
        gateway.account.publish(make_message(b"raw.a", b"", header=RETAIN_HEADER), ClientPort(gateway.runtime.switch))
        assert retained.get(b"made.a") is None


async def test_rename_keeps_headers():
    async with running_gateway() as gateway:
        at_work(gateway, rule())
        place = listen(gateway, b"made.*")
        connect(gateway).receive(b"HPUB raw.a 19 20\r\nNATS/1.0\r\nA: b\r\n\r\nx\r\n".replace(b" 19 20", b" 18 19"))
        assert place.take() == b"HMSG made.a 1 18 19\r\nNATS/1.0\r\nA: b\r\n\r\nx\r\n"


async def test_window_ends_in_its_time(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        (one,) = at_work(gateway, rule(window_seconds=10, aggregate="mean")).at_work
        place = listen(gateway, b"made.*")
        connection = connect(gateway)
        connection.receive(b"PUB raw.a 1\r\n1\r\n")
        await trio.sleep(6)
        connection.receive(b"PUB raw.a 1\r\n2\r\nPUB raw.b 1\r\n7\r\n")
        await trio.sleep(5)
        gateway.runtime.deadlines.call_due(trio.current_time())
        assert place.take() == b"MSG made.a 1 3\r\n1.5\r\n"
        await trio.sleep(5.5)
        gateway.runtime.deadlines.call_due(trio.current_time())
        assert place.take() == b"MSG made.b 1 3\r\n7.0\r\n"
        assert one.status().made_msgs == 2


async def test_fault_is_told_for_a_minute(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        (one,) = at_work(gateway, rule(payload="t")).at_work
        connection = connect(gateway)
        connection.receive(b"PUB raw.a 2\r\n{}\r\n" * 3)
        status = one.status()
        assert (status.error_msgs, status.errors) == (3, {"missing-field": 3})
        assert status.fault == status.last_error == "the payload has no t"
        await trio.sleep(FAULT_SECONDS + 1)
        assert one.status().fault == ""


async def test_rule_that_stays_the_same_goes_on_and_others_hand_on_what_they_have():
    async with running_gateway() as gateway:
        keys = {"window_seconds": 60, "aggregate": "sum"}
        same, changed, gone = (
            rule("same", **keys),
            rule("changed", to="other.$1", **keys),
            rule("gone", to="x.$1", **keys),
        )
        rules = at_work(gateway, same, changed, gone)
        place = listen(gateway, b"*.a")
        connection = connect(gateway)
        connection.receive(b"PUB raw.a 1\r\n1\r\n")
        first = rules.at_work[0]
        place.take()
        rules.replace((same, rule("changed", to="another.$1", **keys), rule("new", to="y.$1")))
        assert place.take() == b"MSG other.a 1 1\r\n1\r\nMSG x.a 1 1\r\n1\r\n"
        assert rules.at_work[0] is first
        connection.receive(b"PUB raw.a 1\r\n2\r\n")
        assert place.take() == b"MSG raw.a 1 1\r\n2\r\nMSG y.a 1 1\r\n2\r\n"
        rules.end()
        assert sorted(place.take().split(b"MSG ")) == [b"", b"another.a 1 1\r\n2\r\n", b"made.a 1 1\r\n3\r\n"]


async def test_many_subscribers_get_what_is_made_in_order():
    async with running_gateway() as gateway:
        at_work(gateway, rule(payload="payload * 2"))
        places = [listen(gateway, b"made.*") for _ in range(3000)]
        connection = connect(gateway)
        connection.receive(b"".join(b"PUB raw.a 1\r\n%d\r\n" % number for number in range(1, 5)))
        for _ in range(1000):
            gateway.runtime.turns.take()
        expected = b"".join(b"MSG made.a 1 1\r\n%d\r\n" % (2 * number) for number in range(1, 5))
        assert {place.take() for place in places} == {expected}
