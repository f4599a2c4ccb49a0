import time

import msgspec

from gateway.accounts.permissions import Permissions
from gateway.nats.client import NatsClientSession
from gateway.settings.security import AccountRules, PermissionRules, SubjectRule
from tests.gateway.accounts.site import site
from tests.gateway.memory_connection import MemoryConnection, running_gateway


async def test_client_hears_who_it_is():
    async with running_gateway() as gateway:
        gateway.offer_services()
        connection = MemoryConnection(gateway)
        connection.start(NatsClientSession(connection, gateway.admission))  # type: ignore[arg-type]
        connection.receive(b'CONNECT {"verbose":false,"pedantic":false,"user":"bob"}\r\nSUB in 1\r\n')
        connection.take()
        connection.receive(b"PUB $SYS.REQ.USER.INFO in 0\r\n\r\n")
        answer = msgspec.json.decode(connection.take().split(b"\r\n")[1])
        assert answer["data"] == {"user": "bob", "account": "$G", "account_name": "$G"}
        assert answer["server"]["id"] == gateway.runtime.names.server_id
        assert answer["server"]["ver"] == "2.15.1"
        assert list(answer["server"])[:4] == ["name", "host", "id", "ver"]


async def test_client_hears_what_it_may_do_and_for_how_long():
    async with site(AccountRules(name="plant")) as house:
        rules = PermissionRules(
            publish=SubjectRule(allow=("$SYS.REQ.USER.INFO",)), subscribe=SubjectRule(deny=("a.>",))
        )
        house.admission.permissions["plant"] = Permissions(rules)
        house.admission.expires = time.time() + 1000
        peer = house.nats("plant")
        peer.say(b"SUB in 1\r\nPUB $SYS.REQ.USER.INFO in 0\r\n\r\n")
        told = msgspec.json.decode(peer.hear().split(b"\r\n")[1])["data"]
        assert 900e9 < told.pop("expires") <= 1000e9
        assert told == {
            "user": "plant",
            "account": "plant",
            "account_name": "plant",
            "permissions": {"publish": {"allow": ["$SYS.REQ.USER.INFO"]}, "subscribe": {"deny": ["a.>"]}},
        }
