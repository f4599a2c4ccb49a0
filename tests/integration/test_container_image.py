"""The image of `make image`, loaded and run by podman as a site would: read-only, without rights, by its own user."""

import asyncio
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
import nats
import pytest

from gateway.operator.kinds import GATEWAY, STATEFUL_SET
from gateway.version import VERSION
from tests.integration.peers import free_port, missing_peer, read_ports_file, require_peer
from tests.kubernetes.clusters import NAMESPACE, emulator, wait_until, write_kubeconfig
from tests.patience import LONG_SECONDS

DIST = Path(__file__).parents[2] / "dist"
USER = 10001
STOP_SECONDS = 60
# Unpacked, and as it is handed on.
MOST_BYTES, MOST_ARCHIVE_BYTES = 90_000_000, 35_000_000
CONFIGURATION = """
data-directory = "/var/lib/leafgate"
ports-file = "/var/lib/leafgate/ports.json"
[[listeners]]
protocol = "nats"
address = "127.0.0.1:0"
[[listeners]]
protocol = "mqtt"
address = "127.0.0.1:0"
[monitoring]
address = "127.0.0.1:{monitoring}"
"""
# As compose.yaml has it, for an address that is not the usual one.
HEALTH = ("leafgate", "health", "-c", "/etc/leafgate/leafgate.toml")
# Its own storage, no systemd, and no more of files and processes than any machine allows.
ENGINE_CONFIGURATION = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'

pytestmark = [pytest.mark.one_form, pytest.mark.skipif(os.geteuid() != 0, reason="only root can run containers here")]


class Engine:
    """A podman with images and containers of its own below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = os.environ | {"CONTAINERS_CONF": str(directory / "containers.conf")}
        self._command = [
            require_peer("podman"),
            *("--root", str(directory / "storage"), "--runroot", str(directory / "run"), "--storage-driver", "vfs"),
            *("--tmpdir", str(directory / "tmp"), "--events-backend", "none", "--cgroup-manager", "cgroupfs"),
            *("--runtime", require_peer("runc")),
        ]
        (directory / "containers.conf").write_text(ENGINE_CONFIGURATION)

    def __call__(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*self._command, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG_SECONDS,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def archive_of(name: str, made_by: str) -> Path:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    path = DIST / f"{name}-{VERSION}-{machine}.oci.tar"
    if not path.exists():
        missing_peer(f"there is no {path.name} in dist ({made_by})")
    return path


@pytest.fixture(scope="module")
def archive() -> Path:
    return archive_of("leafgate", "make image")


@pytest.fixture(scope="module")
def podman() -> Iterator[Engine]:
    # Of a path that is longer than 50 characters podman wants to know nothing.
    with tempfile.TemporaryDirectory(prefix="leafgate-") as directory:
        engine = Engine(Path(directory))
        yield engine
        engine("rm", "--all", "--force", check=False)


@pytest.fixture(scope="module")
def engine(podman: Engine, archive: Path) -> Engine:
    """With the gateway's image."""
    podman("load", "--quiet", "--input", str(archive))
    return podman


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration, and a volume that is the image's user's."""
    (tmp_path / "leafgate.toml").write_text(CONFIGURATION.format(monitoring=free_port()))
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", USER, USER)
    # The folders above are the test's alone.
    for folder in (tmp_path, tmp_path.parent):
        folder.chmod(0o755)
    return tmp_path


@contextmanager
def container_of(engine: Engine, site: Path) -> Iterator[dict[str, int]]:
    """The gateway in a container until it is told to stop, which it does by itself and well."""
    (site / "data/ports.json").unlink(missing_ok=True)
    volumes = ("--volume", f"{site}/data:/var/lib/leafgate")
    configuration = ("--volume", f"{site}/leafgate.toml:/etc/leafgate/leafgate.toml:ro")
    limits = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    engine(
        *("run", "--detach", "--name", "site", "--network", "host"),
        *(*limits, *volumes, *configuration, f"leafgate:{VERSION}"),
    )
    try:
        found: dict[str, int] = {}
        give_up = time.monotonic() + LONG_SECONDS
        while not (found := read_ports_file(site / "data/ports.json") or {}):
            assert time.monotonic() < give_up, engine("logs", "site").stdout
            time.sleep(0.05)
        yield found
        engine("stop", "--time", str(STOP_SECONDS), "site")
        log = engine("logs", "site")
        assert engine("inspect", "--format", "{{.State.ExitCode}}", "site").stdout == "0\n", log.stdout + log.stderr
    finally:
        engine("rm", "--force", "site")


async def exchange(ports: dict[str, int]) -> None:
    """A message from NATS to MQTT and one back, which the gateway keeps."""
    client = await nats.connect(f"nats://127.0.0.1:{ports['nats']}")
    async with aiomqtt.Client("127.0.0.1", ports["mqtt"]) as device:
        await device.subscribe("cmd/#", qos=1)
        subscription = await client.subscribe("home.temp")
        await client.flush()
        await client.publish("cmd.light", b"on")
        message = await anext(aiter(device.messages))
        assert (str(message.topic), message.payload) == ("cmd/light", b"on")
        await device.publish("home/temp", b"21", qos=1, retain=True)
        assert (await subscription.next_msg(LONG_SECONDS)).data == b"21"
    await client.drain()


async def retained(ports: dict[str, int]) -> object:
    async with aiomqtt.Client("127.0.0.1", ports["mqtt"]) as device:
        await device.subscribe("home/temp", qos=1)
        return (await anext(aiter(device.messages))).payload


def test_container_serves_both_protocols_and_keeps_its_data(engine: Engine, site: Path) -> None:
    with container_of(engine, site) as ports:
        asyncio.run(asyncio.wait_for(exchange(ports), LONG_SECONDS))
        assert engine("exec", "site", "python3", "-c", "import os; print(os.getuid())").stdout == f"{USER}\n"
        assert engine("exec", "site", *HEALTH).stdout == "ok\n"
        written = engine("exec", "site", "python3", "-c", "open('/etc/x', 'w')", check=False)
        assert "Read-only file system" in written.stderr
    with container_of(engine, site) as ports:
        assert asyncio.run(asyncio.wait_for(retained(ports), LONG_SECONDS)) == b"21"


def test_without_a_password_it_says_what_is_missing(engine: Engine) -> None:
    done = engine("run", "--rm", "--network", "host", f"leafgate:{VERSION}", check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"leafgate: .*the environment has no variable LEAFGATE_PASSWORD\n", done.stderr)


def test_all_that_is_imported_late_is_in_the_image(engine: Engine) -> None:
    """Modules of Python are left out, and libraries."""
    done = engine(
        *("run", "--rm", "--network", "host", "--read-only", "--entrypoint", "python3", f"leafgate:{VERSION}", "-c"),
        "import bcrypt, ssl, sqlite3, hashlib, nacl.signing, prometheus_client, serial, ctypes, lzma, bz2, zoneinfo, "
        "cryptography.x509, gateway.assembly, gateway.command.certificates, gateway.monitoring.metrics; "
        "print(len(ssl.create_default_context().get_ca_certs()) > 100)",
    )
    assert done.stdout == "True\n"


def test_image_is_small_and_says_what_it_is(engine: Engine, archive: Path) -> None:
    (told,) = json.loads(engine("image", "inspect", f"leafgate:{VERSION}").stdout)
    assert told["Config"]["User"] == f"{USER}:{USER}"
    assert told["Config"]["Entrypoint"] == ["leafgate"]
    assert told["Config"]["StopSignal"] == "SIGTERM"
    assert set(told["Config"]["ExposedPorts"]) == {"4222/tcp", "1883/tcp", "8080/tcp"}
    assert told["Labels"]["org.opencontainers.image.version"] == VERSION
    assert told["Size"] < MOST_BYTES
    assert archive.stat().st_size < MOST_ARCHIVE_BYTES


def test_operator_makes_what_a_gateway_needs_and_stops_well(podman: Engine, tmp_path: Path) -> None:
    """As its Deployment runs it, against an API in memory."""
    podman("load", "--quiet", "--input", str(archive_of("leafgate-operator", "make image EXTRA=operator")))
    kubeconfig = tmp_path / "kubeconfig"
    limits = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    with emulator(tmp_path / "api") as api:
        write_kubeconfig(kubeconfig, api)
        for path in (kubeconfig, tmp_path, tmp_path.parent):
            path.chmod(0o755)
        podman(
            *("run", "--detach", "--name", "operator", "--network", "host", "--user", "65532:65532", *limits),
            *("--env", "KUBECONFIG=/etc/kubeconfig", "--volume", f"{kubeconfig}:/etc/kubeconfig:ro"),
            *(f"leafgate-operator:{VERSION}", "operator", "--healthz", f"127.0.0.1:{free_port()}"),
        )
        try:
            api.create(GATEWAY, NAMESPACE, "edge", spec={})
            wait_until(lambda: api.get(STATEFUL_SET, NAMESPACE, "edge") is not None, "a StatefulSet of the Gateway")
            podman("stop", "--time", str(STOP_SECONDS), "operator")
            log = podman("logs", "operator")
            told = podman("inspect", "--format", "{{.State.ExitCode}}", "operator").stdout
            assert told == "0\n", log.stdout + log.stderr
        finally:
            podman("rm", "--force", "operator")


def test_there_is_no_shell_in_it(engine: Engine) -> None:
    done = engine("run", "--rm", "--network", "host", "--entrypoint", "/bin/sh", f"leafgate:{VERSION}", check=False)
    assert "no such file or directory" in done.stderr
