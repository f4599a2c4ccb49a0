"""A real MicroPython comes in at the gateway by every login that there is, inside TLS, and by nothing else."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.integration.locked_doors import NATS_LOGINS, PASSWORD, LockedDoors, Login, locked_doors
from tests.micropython.device_peer import ask
from tests.micropython.unix_port import board


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedDoors]:
    with locked_doors(tmp_path_factory.mktemp("doors")) as made:
        yield made


def der(pem: str, directory: Path) -> str:
    """A certificate as boards read it."""
    certificate = x509.load_pem_x509_certificate(Path(pem).read_bytes())
    return written(directory / f"{Path(pem).stem}.der", certificate.public_bytes(serialization.Encoding.DER))


def key_der(pem: str, directory: Path) -> str:
    key = serialization.load_pem_private_key(Path(pem).read_bytes(), None)
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    data = key.private_bytes(serialization.Encoding.DER, form, plain)
    return written(directory / f"{Path(pem).stem}.key.der", data)


def written(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    return str(file)


def options(doors: LockedDoors, login: Login, directory: Path) -> dict[str, Any]:
    given: dict[str, Any] = {"ca": der(doors.authority(login), directory), "name": "shed"}
    if login.user is not None:
        given |= {"user": login.user, "password": login.password}
    if login.token:
        given["token"] = login.token
    if login.seed:
        given["nkey"] = login.seed
    if login.credentials:
        given["creds"] = written(directory / "user.creds", login.credentials.encode())
    certificate = doors.certificate(login)
    if certificate is not None:
        given |= {"cert": der(certificate[0], directory), "key": key_der(certificate[1], directory)}
    return given


def asker(doors: LockedDoors, login: Login, directory: Path) -> dict[str, Any]:
    """How somebody else comes in at the same door, to ask the board."""
    context = ssl.create_default_context(cafile=doors.site.path("ca.pem"))
    if login.lock == "map":
        context.load_cert_chain(doors.site.path("sensor1.pem"), doors.site.path("sensor1.key"))
    given: dict[str, Any] = {"tls": context}
    if login.lock == "users":
        given |= {"user": "anna", "password": PASSWORD}
    if login.lock == "operator":
        credentials = doors.login("credentials").credentials
        given["user_credentials"] = written(directory / "asker.creds", credentials.encode())
    return given


@pytest.mark.parametrize("name", NATS_LOGINS)
def test_login(doors: LockedDoors, name: str, tmp_path: Path) -> None:
    login = doors.login(name)
    url = doors.door(login).url("nats", "tls").replace("127.0.0.1", "localhost")
    given = written(tmp_path / "options.json", json.dumps(options(doors, login, tmp_path)).encode())
    with board("node.py", url, given) as device:
        if login.who is None:
            told = device.until("error")
            assert "connected" not in "".join(device.printed)
            doors.check_secrets(login, told)
            return
        device.until("connected")
        asyncio.run(ask(url, [b"1"], **asker(doors, login, tmp_path)))
        device.finished()
