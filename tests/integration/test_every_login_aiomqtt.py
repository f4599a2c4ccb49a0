"""aiomqtt comes in by every login that there is, inside TLS, and by nothing else."""

import asyncio
import ssl
from collections.abc import Iterator

import aiomqtt
import pytest

from tests.integration.locked_doors import MQTT_LOGINS, LockedDoors, Login, locked_doors, loose_ends
from tests.integration.mqtt_peers import unique_topic
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


async def come_in(doors: LockedDoors, login: Login) -> str:
    """What comes back to a client that is in. Raises what keeps it out."""
    context = ssl.create_default_context(cafile=doors.authority(login))
    certificate = doors.certificate(login)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    host, port = doors.door(login).address("mqtt")
    topic = unique_topic("login")
    async with aiomqtt.Client(
        host,
        port,
        username=login.user,
        password=login.password or login.bearer or None,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=context,
        timeout=PATIENCE_SECONDS if login.who is not None else 1,  # Where the connection ends, it waits all the same.
    ) as client:
        await client.subscribe(topic, 1)
        await client.publish(topic, "there", 1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload.decode()
    raise AssertionError("the connection ended")


@pytest.mark.parametrize("name", MQTT_LOGINS)
def test_login(doors: LockedDoors, name: str) -> None:
    login = doors.login(name)
    if login.who is not None:
        assert asyncio.run(come_in(doors, login)) == "there"
        return
    with loose_ends():
        try:
            asyncio.run(come_in(doors, login))
        except (aiomqtt.MqttError, OSError) as error:
            told = str(error)
        else:
            pytest.fail("it came in")
    doors.check_secrets(login, told)
