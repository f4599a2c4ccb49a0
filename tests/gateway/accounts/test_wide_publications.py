"""What the gateway itself publishes to very many goes out in shares, in the order of each publisher; so does what is
passed on under another subject.
"""

from collections.abc import Callable

import pytest

from gateway.assembly import Gateway
from gateway.dataplane.deliveries import SHARE
from gateway.dataplane.port import Port
from gateway.dataplane.verdicts import Verdicts
from gateway.runtime.turns import TURN_SECONDS
from gateway.services import presence
from gateway.settings.security import AccountRules, Export, Import
from protocols.close_reason import CloseReason
from protocols.message import Burst, Message, make_message
from protocols.mqtt.packets import Will
from tests.gateway.accounts.site import site
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer

COUNT = 3 * SHARE + 7


class Crowd:
    """Many subscriptions, and what all of them have had."""

    def __init__(self, gateway: Gateway, subject: bytes, count: int = COUNT) -> None:
        self.gateway = gateway
        self.place = ClientPort(gateway.runtime.switch)
        for _ in range(count):
            gateway.account.router.subscribe(self.place.subscription(subject))

    def heard(self) -> int:
        return self.place.take().count(b"MSG ")


def one_step_a_turn(gateway: Gateway) -> None:
    """Each look at the clock ends a turn."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 2 * TURN_SECONDS
        return now

    gateway.runtime.turns.clock = clock


def shares_of(gateway: Gateway, crowd: Crowd) -> list[int]:
    """How many messages came at once, and then in each turn."""
    shares = [crowd.heard()]
    while gateway.runtime.turns:
        gateway.runtime.turns.take()
        shares.append(crowd.heard())
    return shares


def tell_presence(gateway: Gateway, asker: Port) -> None:
    presence.publish(gateway.account, b"many", True, {})


def publish(gateway: Gateway, asker: Port) -> None:
    gateway.account.publish(make_message(b"many", b"1"))


def answer(gateway: Gateway, asker: Port) -> None:
    gateway.account.answer(make_message(b"many", b"1"), asker, Port(None))


@pytest.mark.parametrize("cause", [publish, tell_presence, answer])
async def test_gateways_own_message_for_very_many_goes_out_in_shares(cause: Callable[[Gateway, Port], None]):
    async with running_gateway() as gateway:
        crowd = Crowd(gateway, b"many")
        one_step_a_turn(gateway)
        cause(gateway, crowd.place)
        shares = shares_of(gateway, crowd)
        assert sum(shares) == COUNT
        assert max(shares) <= SHARE


async def test_answer_that_its_asker_alone_is_told_goes_out_in_shares():
    async with running_gateway() as gateway:
        crowd = Crowd(gateway, b"many")
        stranger = Crowd(gateway, b"many", 1)
        crowd.place.may_publish = Verdicts(lambda subject: subject != b"many")
        one_step_a_turn(gateway)
        answer(gateway, crowd.place)
        shares = shares_of(gateway, crowd)
        assert (sum(shares), max(shares) <= SHARE, stranger.heard()) == (COUNT, True, 0)


async def test_messages_of_one_publisher_keep_their_order_and_those_of_others_go_between():
    async with running_gateway() as gateway:
        crowd = Crowd(gateway, b"many")
        listener = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(listener.subscription(b"few"))
        one_step_a_turn(gateway)
        own = Port(None)
        told: list[Message] = []
        gateway.account.publish(make_message(b"many", b"1"), own, done=told.append)
        gateway.account.publish(make_message(b"few", b"2"), own, done=told.append)
        gateway.account.publish(make_message(b"few", b"of another"), Port(None))
        assert listener.take() == b"MSG few 1 10\r\nof another\r\n"
        assert sum(shares_of(gateway, crowd)) == COUNT
        assert listener.take() == b"MSG few 1 1\r\n2\r\n"
        assert [(one.payload(), one.delivered) for one in told] == [(b"1", COUNT), (b"2", 1)]


async def test_will_for_very_many_goes_out_in_shares():
    async with running_gateway() as gateway:
        crowd = Crowd(gateway, b"many")
        client = Peer(gateway, b"c", will=Will(b"many", b"gone"))
        one_step_a_turn(gateway)
        client.close(CloseReason.CLIENT_CLOSED)
        shares = shares_of(gateway, crowd)
        assert (sum(shares), max(shares) <= SHARE) == (COUNT, True)


async def test_reply_to_an_mqtt_request_goes_to_very_many_in_shares():
    async with running_gateway() as gateway:
        gateway.mqtt_sessions.of(gateway.account).expect_replies()
        crowd = Crowd(gateway, b"many")
        events: list[object] = [make_message(b"_MQTT5.%b._.many" % gateway.runtime.names.gateway_id, b"1")]
        shares = []
        while not gateway.account.router.forward(events, 0, Port(None)):
            shares.append(crowd.heard())
        shares.append(crowd.heard())
        assert (sum(shares), max(shares) <= SHARE) == (COUNT, True)


async def test_answer_across_accounts_goes_to_very_many_in_shares():
    gives = AccountRules(name="gives", exports=(Export(service="ask"),))
    takes = AccountRules(name="takes", imports=(Import(account="gives", service="ask"),))
    async with site(gives, takes) as house:
        accounts, switch = house.gateway.accounts, house.gateway.runtime.switch
        place, service = ClientPort(switch), ClientPort(switch)
        for _ in range(COUNT):
            accounts["takes"].router.subscribe(place.subscription(b"inbox"))
        accounts["gives"].router.subscribe(service.subscription(b"ask"))
        assert accounts["takes"].router.publish(make_message(b"ask", b"?", b"inbox"), place) == 1
        reply = service.take().split(b" ")[3]
        events: list[object] = [make_message(reply, b"!")]
        shares = []
        while not accounts["gives"].router.forward(events, 0, service):
            shares.append(place.take().count(b"MSG "))
        shares.append(place.take().count(b"MSG "))
        assert (sum(shares), max(shares) <= SHARE) == (COUNT, True)
        (message,) = events
        assert isinstance(message, Message)
        assert message.delivered == 1
        assert accounts["gives"].router.publish(make_message(reply, b"!"), service) == 0  # one answer, and it is over


async def test_queue_groups_count_as_receivers_and_are_served_in_shares():
    async with running_gateway() as gateway:
        place = ClientPort(gateway.runtime.switch)
        for number in range(COUNT):
            gateway.account.router.subscribe(place.subscription(b"many", b"g%d" % number))
        shares = []
        for event in (make_message(b"many", b"1"), Burst(b"many", 0, 1, [b"2", b"3"], 2, None)):
            events: list[object] = [event]
            while not gateway.account.router.forward(events, 0, Port(None)):
                shares.append(place.take().count(b"MSG "))
            shares.append(place.take().count(b"MSG "))
        assert (sum(shares), max(shares) <= SHARE) == (3 * COUNT, True)
        assert isinstance(event, Burst)


async def test_equal_messages_that_a_receiver_takes_one_by_one_are_shared_out():
    async with running_gateway() as gateway:
        place = ClientPort(gateway.runtime.switch)
        for _ in range(100):
            gateway.account.router.subscribe(place.subscription(b"many", maximum=1 << 40))
        count = 4 * SHARE
        events: list[object] = [Burst(b"many", 0, 1, [b"x"] * count, count, None)]
        shares = []
        while not gateway.account.router.forward(events, 0, Port(None)):
            shares.append(place.take().count(b"MSG "))
        shares.append(place.take().count(b"MSG "))
        assert (sum(shares), max(shares) <= 5 * count) == (100 * count, True)
