"""The Debian package: installed, upgraded with data, removed and purged in a root directory of its own by dpkg."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
import pytest

from tests.integration.fresh_root import PIP_OPTIONS, lend_build_tools, lend_packages
from tests.integration.peers import free_port, require_peer, wait_until
from tests.patience import LONG_SECONDS, PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.one_form, pytest.mark.skipif(os.geteuid() != 0, reason="only root can install packages")]


def build_package(directory: Path, **variables: str) -> Path:
    for program in ("dpkg-deb", "systemd-sysusers"):
        require_peer(program)
    lent = lend_build_tools(directory / "tools")
    interpreter = os.path.realpath(sys.executable)
    build = subprocess.run(
        [str(REPOSITORY / "configs/debian/build.sh"), sys.executable, str(directory / "dist")],
        env=lent | {"DEB_PYTHON": interpreter, "PIP_OPTIONS": " ".join(PIP_OPTIONS)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_SECONDS,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return Path(build.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make deb` builds it, without what it would fetch."""
    return build_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def whole(package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package with what was not fetched for it, under a lower version and under a higher one."""
    directory = tmp_path_factory.mktemp("whole")
    folder = directory / "files"
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder)], check=True, timeout=LONG_SECONDS)
    lend_packages(folder)
    control = folder / "DEBIAN/control"
    lines = control.read_text().splitlines()
    for version in ("0.0.1", "99"):
        control.write_text("".join(f"{f'Version: {version}' if x.startswith('Version:') else x}\n" for x in lines))
        command = [
            "dpkg-deb",
            "-Znone",
            "--root-owner-group",
            "--build",
            str(folder),
            str(directory / f"{version}.deb"),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=LONG_SECONDS)
    return {"earlier": directory / "0.0.1.deb", "later": directory / "99.deb"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root"
    (directory / "var/lib/dpkg/info").mkdir(parents=True)
    (directory / "var/lib/dpkg/updates").mkdir()
    (directory / "var/lib/dpkg/status").touch()
    return directory


def dpkg(root: Path, *arguments: str) -> str:
    """Its dependencies are this system's, which the root directory's list does not have."""
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(root: Path) -> set[str]:
    found = (path.relative_to(root) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path) for path in found if "leafgate" in str(path) and not path.is_relative_to("var/lib/dpkg")}


@contextmanager
def gateway_of(root: Path) -> Iterator[None]:
    """The installed gateway with its configuration, whose data are in the root directory."""
    file = root / "etc/leafgate/leafgate.toml"
    command = [str(root / "opt/leafgate/bin/python"), str(root / "opt/leafgate/bin/leafgate"), "run", "-c", str(file)]
    ports_file = root / "ports.json"
    ports_file.unlink(missing_ok=True)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: ports_file.exists() or process.poll() is not None, "the start")
            assert process.poll() is None
            yield
        finally:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0


def configure(root: Path, port: int) -> str:
    """What an administrator has changed: returns the file's text."""
    text = (
        f'data-directory = "{root}/var/lib/leafgate"\nports-file = "{root}/ports.json"\n'
        f'[monitoring]\naddress = ""\n[[listeners]]\nprotocol = "mqtt"\naddress = "127.0.0.1:{port}"\n'
    )
    (root / "etc/leafgate/leafgate.toml").write_text(text)
    return text


async def retain(port: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish("home/temp", b"21", qos=1, retain=True)


async def retained(port: int) -> bytes:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("home/temp", qos=1)
        message = await anext(aiter(client.messages))
        assert isinstance(message.payload, bytes)
        return message.payload


def test_package_is_upgraded_with_its_data_and_leaves_them_until_it_is_purged(
    whole: dict[str, Path], root: Path
) -> None:
    dpkg(root, "--install", str(whole["earlier"]))
    assert (root / "etc/systemd/system/multi-user.target.wants/leafgate.service").is_symlink()
    assert "ExecStart=/opt/leafgate/bin/leafgate run" in (root / "lib/systemd/system/leafgate.service").read_text()
    assert (root / "opt/leafgate/bin/leafgate").read_text().startswith("#!/opt/leafgate/bin/python\n")
    password = (root / "etc/leafgate/admin.password").read_bytes()
    port = free_port()
    text = configure(root, port)
    with gateway_of(root):
        asyncio.run(retain(port))

    dpkg(root, "--install", str(whole["later"]))
    assert (root / "etc/leafgate/leafgate.toml").read_text() == text
    assert (root / "etc/leafgate/admin.password").read_bytes() == password
    with gateway_of(root):
        assert asyncio.run(asyncio.wait_for(retained(port), PATIENCE_SECONDS)) == b"21"

    dpkg(root, "--remove", "leafgate")
    left = files(root)
    assert {"etc/leafgate/leafgate.toml", "etc/leafgate/admin.password", "var/lib/leafgate/leafgate.db"} <= left
    assert [
        path for path in left if not path.startswith(("etc/leafgate/", "var/lib/leafgate/", "etc/sysusers.d"))
    ] == []
    dpkg(root, "--purge", "leafgate")
    assert files(root) == set()


def test_nothing_in_the_package_names_the_place_where_it_was_built(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-R", str(package), str(tmp_path / "files")], check=True, timeout=LONG_SECONDS)
    builder = str(package.parents[1]).encode()
    places = [builder, str(REPOSITORY).encode(), b"/tmp/tmp."]
    found = [
        str(path)
        for path in (tmp_path / "files").rglob("*")
        if path.is_file() and any(place in path.read_bytes() for place in places)
    ]
    assert found == []


def test_package_of_a_wheel_holds_what_one_of_the_sources_holds(package: Path, tmp_path: Path) -> None:
    script = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    environment = lend_build_tools(tmp_path / "wheel-tools")
    command = [sys.executable, "-c", script, str(tmp_path / "wheels")]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    of_wheel = build_package(tmp_path, DEB_WHEELS=str(tmp_path / "wheels"))
    listed = [
        {line.split()[-1] for line in subprocess.check_output(["dpkg-deb", "-c", one], text=True).splitlines()}
        for one in (package, of_wheel)
    ]
    assert len(listed[0]) > 500
    assert listed[0] == listed[1]


def test_control_file_asks_for_the_python_that_the_modules_are_for(package: Path) -> None:
    fields = subprocess.run(["dpkg-deb", "-f", str(package), "Depends"], capture_output=True, text=True, check=True)
    minor = sys.version_info.minor
    assert fields.stdout.strip() == f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), systemd"
