"""Files of TLS that do not fit, each with the sentence that a person reads."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.command.command_line import main
from gateway.settings.security import Tls
from gateway.transport.tls_contexts import ServerTerms
from gateway.transport.tls_files import read_shared_keys
from tests.integration.certificates import Site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture
def site(made: Site, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    for path in made.directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / path.name).chmod(path.stat().st_mode & 0o777)
    return tmp_path


def complaint(site: Path, **more: object) -> str:
    values = {"certificate": str(site / "server.pem"), "key": str(site / "server.key")} | more
    with pytest.raises(ValueError) as raised:
        ServerTerms(Tls(**values), "nats")  # type: ignore[arg-type]
    return str(raised.value).replace(f"{site}/", "")


def spoil(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda site: (site / name).write_bytes(content)


@pytest.mark.parametrize(
    ("spoiled", "sentence"),
    [
        (
            lambda site: (site / "server.key").chmod(0o604),
            "server.key can be read or written by everybody; chmod o-rwx it",
        ),
        (lambda site: (site / "server.key").unlink(), "server.key cannot be read: no such file or directory"),
        (lambda site: (site / "server.pem").unlink(), "server.pem cannot be read: no such file or directory"),
        (spoil("server.pem", b"nothing"), "server.pem holds no certificate in PEM form"),
        (spoil("server.key", b"nothing"), "server.key holds no private key"),
        (
            lambda site: (site / "server.key").write_bytes((site / "sensor1.key").read_bytes()),
            "server.key is not the key of server.pem",
        ),
    ],
)
def test_what_is_wrong_is_said(site: Path, spoiled: Callable[[Path], object], sentence: str) -> None:
    spoiled(site)
    assert complaint(site) == sentence


def test_a_certificate_with_its_key_in_it_is_a_secret(site: Path) -> None:
    both = site / "both.pem"
    both.write_bytes((site / "server.pem").read_bytes() + (site / "server.key").read_bytes())
    both.chmod(0o644)
    assert complaint(site, certificate=str(both), key="").startswith("both.pem can be read or written by everybody")
    both.chmod(0o640)
    ServerTerms(Tls(certificate=str(both)), "nats")


def test_an_encrypted_key_asks_nobody(site: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((site / "server.key").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"word")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (site / "server.key").write_bytes(pem)
    assert complaint(site) == "server.key is encrypted, and nobody is there to type its password"


def test_authorities_that_are_none(site: Path) -> None:
    (site / "ca.pem").write_text("nothing")
    more = {"client_ca": str(site / "ca.pem"), "verify": "require"}
    assert complaint(site, **more) == "ca.pem holds no certificate in PEM form"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "keys holds no keys"),
        ("# only\n\n", "keys holds no keys"),
        ("a:00\nb\n", "keys, line 2: expected identity:key, the key in hexadecimal"),
        ("a:0g\n", "keys, line 1: expected identity:key, the key in hexadecimal"),
        ("a:\n", "keys, line 1: expected identity:key, the key in hexadecimal"),
        (":00\n", "keys, line 1: expected identity:key, the key in hexadecimal"),
    ],
)
def test_shared_keys_that_are_none(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ValueError) as raised:
        read_shared_keys(path)
    assert str(raised.value).replace(f"{tmp_path}/", "") == sentence


def test_shared_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# who: key\na:00ff\nb:c:01\n")
    path.chmod(0o600)
    assert read_shared_keys(path) == {"a": b"\0\xff", "b:c": b"\1"}


@pytest.mark.skipif(hasattr(ssl.SSLContext, "set_psk_server_callback"), reason="this Python has them")
def test_shared_keys_need_a_newer_python(site: Path) -> None:
    (site / "keys").write_text("a:00\n")
    (site / "keys").chmod(0o600)
    assert complaint(site, psk_file=str(site / "keys")) == "shared keys need Python 3.13 or newer"


def test_check_looks_at_the_files(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = site / "leafgate.toml"
    tls = f'{{ certificate = "{site}/server.pem", key = "{site}/nowhere.key" }}'
    file.write_text(f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\ntls = {tls}\n')
    assert main(["check", "-c", str(file)]) == 2
    expected = f"leafgate: {file}: listeners[0].tls: {site}/nowhere.key cannot be read: no such file or directory\n"
    assert capsys.readouterr().err == expected
    assert main(["run", "-c", str(file)]) == 2
    assert capsys.readouterr().err == expected
