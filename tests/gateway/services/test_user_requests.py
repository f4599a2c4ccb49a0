import msgspec

from gateway.nats.client import NatsClientSession
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
