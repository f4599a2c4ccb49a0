"""Attempts to get across a border by a detour: each ends where the straight way does."""

import json

import pytest
import trio

from gateway.accounts.renewal import renew_everybody
from gateway.assembly import Gateway
from gateway.nats.client import NatsClientSession
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, Export, Import, PermissionRules, SubjectRule, User
from tests.gateway.memory_connection import MemoryConnection, running_gateway
from tests.patience import PATIENCE_SECONDS

CONNECT = b'CONNECT {"verbose":false,"headers":true,"no_responders":false,"user":"%b","pass":"%b"}\r\n'


def user(name: str, account: str = "", **rules: object) -> User:
    permissions = PermissionRules(**rules) if rules else None  # type: ignore[arg-type]
    return User(name=name, password=Secret(name), account=account, permissions=permissions)


class Client(MemoryConnection):
    """A NATS client of a user whose password is its name."""

    def __init__(self, gateway: Gateway, name: bytes) -> None:
        super().__init__(gateway)
        self.start(NatsClientSession(self, gateway.admission))  # type: ignore[arg-type]
        self.say(CONNECT % (name, name))
        self.heard()

    def say(self, data: bytes) -> None:
        self.receive(data)

    def heard(self) -> bytes:
        self.gateway.runtime.switch.flush()
        return self.take()


async def change(gateway: Gateway, wanted: Config) -> None:
    gateway.settings.replace(wanted)
    gateway.apply_accounts(wanted.accounts)
    gateway.admission.apply()
    await renew_everybody(gateway.runtime, gateway.registry, gateway.admission)


@pytest.mark.parametrize("narrower", [{"publish": SubjectRule(deny=(">",))}, {"publish": SubjectRule(allow=("a",))}])
async def test_right_to_answer_does_not_outlive_the_rule_that_gave_it(narrower: dict[str, SubjectRule]):
    before = Config(users=(user("boss"), user("service", publish=SubjectRule(allow=()), allow_responses=True)))
    after = Config(users=(user("boss"), user("service", **narrower)))
    async with running_gateway(before) as gateway:
        boss, service = Client(gateway, b"boss"), Client(gateway, b"service")
        gateway.registry.open |= {service.cid: service, boss.cid: boss}  # type: ignore[dict-item]
        service.say(b"SUB calc 1\r\n")
        boss.say(b"SUB inbox.* 1\r\nPUB calc inbox.1 0\r\n\r\nPUB calc inbox.2 0\r\n\r\n")
        service.say(b"PUB inbox.1 2\r\nok\r\n")
        assert boss.heard() == b"MSG inbox.1 1 2\r\nok\r\n"
        service.heard()
        await change(gateway, after)
        service.say(b"PUB inbox.2 2\r\nno\r\n")
        assert boss.heard() == b""
        assert service.heard() == b"-ERR 'Permissions Violation for Publish to \"inbox.2\"'\r\n"
        gateway.registry.open.clear()


EXPORTING = AccountRules(name="plant", exports=(Export(stream=">"), Export(service=">")))
IMPORTING = AccountRules(
    name="office",
    imports=(Import(account="plant", stream=">", prefix="plant"), Import(account="plant", service=">", to="call.>")),
)
HOUSE = Config(
    accounts=(EXPORTING, IMPORTING),
    users=(
        user("plant", "plant"),
        user("office", "office"),
        user("low", "office", subscribe=SubjectRule(deny=("plant.secret.>",))),
    ),
)


async def test_queue_group_across_accounts_gives_nobody_what_is_denied_and_loses_nothing():
    async with running_gateway(HOUSE) as gateway:
        plant, office, low = (Client(gateway, name) for name in (b"plant", b"office", b"low"))
        low.say(b"SUB plant.> group 1\r\nSUB plant.*.x group 2\r\n")
        plant.say(b"PUB secret.x 1\r\n1\r\n" * 20)
        assert low.heard() == b""
        office.say(b"SUB plant.> group 1\r\n")
        plant.say(b"PUB secret.x 1\r\n1\r\n" * 20 + b"PUB open.x 1\r\n1\r\n" * 20)
        mine, theirs = office.heard(), low.heard()
        assert mine.count(b"MSG plant.secret.x") == 20
        assert b"secret" not in theirs
        assert mine.count(b"MSG plant.open.x") + theirs.count(b"MSG plant.open.x") == 20


async def test_nothing_retained_comes_over_a_border_however_one_asks():
    async with running_gateway(HOUSE) as gateway:
        gateway.offer_services()
        plant, office = Client(gateway, b"plant"), Client(gateway, b"office")
        office.say(b"SUB got.* 1\r\n")
        plant.say(b"HPUB kept.x 28 29\r\nNATS/1.0\r\nMqtt-Retain: 1\r\n\r\n!\r\n")
        assert len(gateway.accounts["plant"].retained) == 1
        for number, name in enumerate((b"", b"call.", b"plant.", b"call.plant.")):
            office.say(b"PUB %b$LEAFGATE.retained.get got.%d 1\r\n>\r\n" % (name, number))
        # Its own is found by the same words, and asked for last.
        office.say(b"HPUB own.x 28 29\r\nNATS/1.0\r\nMqtt-Retain: 1\r\n\r\n!\r\n")
        office.say(b"PUB $LEAFGATE.retained.get got.9 1\r\n>\r\n")
        heard = b""
        with trio.fail_after(PATIENCE_SECONDS):
            while b"own.x" not in heard:
                await trio.sleep(0.01)
                heard += office.heard()
        assert b"kept" not in heard


async def test_nothing_that_the_gateway_answers_is_reached_in_another_account():
    async with running_gateway(HOUSE) as gateway:
        gateway.offer_services()
        plant, office = Client(gateway, b"plant"), Client(gateway, b"office")
        plant.say(b"SUB > 1\r\n")
        office.say(b"SUB got.* 1\r\n")
        for subject in (b"$LEAFGATE.publish.a", b"$LEAFGATE.time", b"$SYS.REQ.USER.INFO", b"_R_.a.b", b"_MQTT5.r.a.b"):
            office.say(b"PUB call.%b got.1 1\r\n1\r\n" % subject)
        assert office.heard() == b""
        assert plant.heard() == b""


async def test_who_asks_is_not_what_he_says_himself():
    async with running_gateway(HOUSE) as gateway:
        plant, office = Client(gateway, b"plant"), Client(gateway, b"office")
        plant.say(b"SUB calc 1\r\n")
        header = b'NATS/1.0\r\nNats-Request-Info: {"acc":"plant","user":"boss"}\r\n\r\n'
        office.say(b"HPUB call.calc got.1 %d %d\r\n%b\r\n" % (len(header), len(header), header))
        told = plant.heard()
        found = [
            json.loads(line.partition(b": ")[2]) for line in told.split(b"\r\n") if line.startswith(b"Nats-Request")
        ]
        assert [one["acc"] for one in found] == ["office"]
        assert b"boss" not in told
