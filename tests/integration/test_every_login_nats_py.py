"""nats-py comes in by every login that there is, inside TLS, and by nothing else."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest

from tests.integration.locked_doors import NATS_LOGINS, LockedDoors, Login, locked_doors, loose_ends
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


def options(doors: LockedDoors, login: Login, directory: Path) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=doors.authority(login))
    certificate = doors.certificate(login)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    given: dict[str, Any] = {"tls": context}
    if login.user is not None:
        given |= {"user": login.user, "password": login.password}
    if login.token:
        given["token"] = login.token
    if login.seed:
        given["nkeys_seed_str"] = login.seed
    if login.credentials:
        file = directory / "user.creds"
        file.write_text(login.credentials)
        given["user_credentials"] = str(file)
    return given


async def come_in(doors: LockedDoors, login: Login, directory: Path) -> str:
    """Who the client is told that it is. Raises what keeps it out."""
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    client = nats.NATS()
    given = options(doors, login, directory) | {"error_cb": note, "allow_reconnect": False}
    # What goes wrong in TLS it tries again.
    given |= {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.01, "connect_timeout": 20}
    try:
        await client.connect(doors.door(login).url("nats", "tls"), **given)
        answer = json.loads((await client.request("$SYS.REQ.USER.INFO", b"", PATIENCE_SECONDS)).data)
        user: str = answer["data"]["user"]
        return user
    except nats.errors.Error as error:
        raise PermissionError(f"{error} {errors}") from None
    finally:
        # It waits for ever for the end of a connection whose server it did not like.
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await client.close()
        if client._transport is not None:
            client._transport.close()


@pytest.mark.parametrize("name", NATS_LOGINS)
def test_login(doors: LockedDoors, name: str, tmp_path: Path) -> None:
    login = doors.login(name)
    if login.who is not None:
        assert asyncio.run(come_in(doors, login, tmp_path)) == login.who
        return
    with loose_ends():
        try:
            asyncio.run(come_in(doors, login, tmp_path))
        except OSError as error:
            told = str(error)
        else:
            pytest.fail("it came in")
    doors.check_secrets(login, told)
