"""`leafgate certs`: what it makes is what OpenSSL takes, and what it must not destroy stays."""

import ssl
import subprocess
import tomllib
from pathlib import Path

import pytest

from gateway.command.command_line import main
from tests.integration.peers import require_peer


def certs(directory: Path, *arguments: str) -> int:
    action, *rest = arguments
    return main(["certs", action, "--directory", str(directory), *rest])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "tls"
    assert certs(directory, "init", "--name", "shed") == 0
    assert certs(directory, "server", "edge.example", "10.0.0.7", "::1") == 0
    assert certs(directory, "client", "sensor1") == 0
    return directory


def test_openssl_verifies_what_is_made(site: Path) -> None:
    program = require_peer("openssl")
    for name, purpose in (("server", "sslserver"), ("server", "sslclient"), ("sensor1", "sslclient")):
        command = [program, "verify", "-x509_strict", "-CAfile", str(site / "ca.pem"), "-purpose", purpose]
        assert subprocess.run([*command, str(site / f"{name}.pem")], capture_output=True, check=False).returncode == 0
    command = [program, "verify", "-CAfile", str(site / "ca.pem"), "-purpose", "sslserver", str(site / "sensor1.pem")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_names_and_addresses_are_in_it(site: Path) -> None:
    command = ["openssl", "x509", "-in", str(site / "server.pem"), "-noout", "-ext", "subjectAltName"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "DNS:edge.example, IP Address:10.0.0.7, IP Address:0:0:0:0:0:0:0:1" in told


def test_keys_are_for_their_owner_alone(site: Path) -> None:
    assert {path.name for path in site.glob("*.key")} == {"ca.key", "server.key", "sensor1.key"}
    assert {path.stat().st_mode & 0o777 for path in site.glob("*.key")} == {0o600}
    assert site.stat().st_mode & 0o777 == 0o700


def test_what_is_there_is_not_overwritten(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in site.iterdir()}
    assert certs(site, "init") == 1
    assert certs(site, "server", "other.example") == 1
    assert certs(site, "client", "sensor1") == 1
    assert capsys.readouterr().err.count("is there already") == 3
    assert {path: path.read_bytes() for path in site.iterdir()} == before


@pytest.mark.parametrize("name", ["../sensor", "a/b", "", ".hidden", "ca", "a b", "x" * 65, "-x"])
def test_names_that_are_none(site: Path, name: str) -> None:
    before = sorted(site.iterdir())
    assert main(["certs", "client", "--directory", str(site), "--", name]) == 1
    assert sorted(site.iterdir()) == before


def test_renewal_keeps_keys_and_names(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs(site, "client", "old", "--days", "10") == 0
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    capsys.readouterr()
    assert certs(site, "renew") == 0
    assert capsys.readouterr().out.startswith(f"{site}/old.pem is renewed\n")
    changed = {path.name for path in site.iterdir() if before[path.name] != path.read_bytes()}
    assert changed == {"old.pem"}
    ssl.create_default_context().load_cert_chain(site / "old.pem", site / "old.key")
    assert certs(site, "renew") == 0
    assert capsys.readouterr().out == "nothing ends within 30 days\n"
    assert certs(site, "renew", "--within-days", "1000") == 0
    command = ["openssl", "x509", "-in", str(site / "server.pem"), "-noout", "-checkhost", "edge.example"]
    assert "does match" in subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_list(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert certs(site, "list") == 0
    rows = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert sorted(rows) == [
        ["authority", "ca"],
        ["client", "sensor1", "sensor1"],
        ["server", "server", "edge.example", "10.0.0.7", "::1"],
    ]


def test_what_is_printed_is_what_the_configuration_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certs(tmp_path, "init")
    capsys.readouterr()
    certs(tmp_path, "server", "localhost")
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("tls ="):
            told = tomllib.loads(line)
            assert Path(told["tls"]["certificate"]).exists()
            file = tmp_path / "leafgate.toml"
            file.write_text(f'[[listeners]]\nprotocol = "nats"\naddress = "127.0.0.1:0"\n{line}\n')
            assert main(["check", "-c", str(file)]) == 0


def test_without_an_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs(tmp_path, "client", "sensor1") == 1
    assert "`leafgate certs init` makes the authority" in capsys.readouterr().err
