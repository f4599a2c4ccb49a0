"""What `make release` does beside building, with real keys; and what is in the source distribution."""

import io
import json
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import IO, Literal

import pytest

from gateway.version import VERSION
from tests.integration.fresh_root import lend_build_tools
from tests.integration.peers import require_peer
from tests.patience import LONG_SECONDS

pytestmark = pytest.mark.one_form

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "configs/release/release.py"
LOG = """# Changes

## 0.2.0, not released yet

- New: one.
- New: two.

## 0.1.0, 2026-01-31

- First.
"""


def release(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG_SECONDS)


def make_keys(kind: str, directory: Path) -> tuple[Path, Path]:
    """A new key without a passphrase, and its public half."""
    key = directory / "key"
    if kind == "ssh-keygen":
        commands = [["-q", "-t", "ed25519", "-N", "", "-f", key]]
        public = directory / "key.pub"
    elif kind == "minisign":
        public = directory / "public"
        commands = [["-G", "-W", "-s", key, "-p", public]]
    else:
        public = directory / "public"
        commands = [["genpkey", "-algorithm", "ed25519", "-out", key], ["pkey", "-in", key, "-pubout", "-out", public]]
    for words in commands:
        subprocess.run([require_peer(kind), *words], check=True, capture_output=True, timeout=LONG_SECONDS)
    return key, public


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    directory = tmp_path / "dist"
    directory.mkdir()
    for name in ("leafgate-1.0.whl", "leafgate-1.0.tar.gz", "leafgate_1.0_arm64.deb", "leafgate-1.0-amd64.oci.tar"):
        (directory / name).write_text(name)
    return directory


@pytest.mark.parametrize("kind", ["ssh-keygen", "minisign", "openssl"])
def test_signature_is_of_these_files_and_by_this_key(kind: str, dist: Path, tmp_path: Path) -> None:
    key, public = make_keys(kind, tmp_path)
    done = release("sign", dist, key)
    assert done.returncode == 0, done.stderr
    assert release("verify", dist, public).returncode == 0
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True, timeout=LONG_SECONDS)

    other = tmp_path / "other"
    other.mkdir()
    _, foreign = make_keys(kind, other)
    assert release("verify", dist, foreign).returncode == 1
    (dist / "leafgate-1.0.whl").write_text("another")
    assert "not that of the files" in release("verify", dist, public).stderr


def test_without_a_key_there_are_checksums_alone(dist: Path) -> None:
    assert "not signed" in release("sign", dist).stdout
    assert sorted(path.name for path in dist.glob("SHA*")) == ["SHA256SUMS"]
    assert len((dist / "SHA256SUMS").read_text().splitlines()) == 4


def wheel(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")


def packed(path: Path | IO[bytes], mode: Literal["w", "w:gz"], *names: str, **contents: bytes) -> None:
    with tarfile.open(path, mode) if isinstance(path, Path) else tarfile.open(fileobj=path, mode=mode) as archive:
        for name, content in [*((name, b"") for name in names), *contents.items()]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def image(path: Path, *names: str) -> None:
    """As buildah writes one."""
    layer = io.BytesIO()
    packed(layer, "w:gz", *(f"usr/local/lib/python3.11/dist-packages/{name}" for name in names))
    manifest = json.dumps({"layers": [{"digest": "sha256:layer"}]}).encode()
    index = json.dumps({"manifests": [{"digest": "sha256:manifest"}]}).encode()
    blobs = {"blobs/sha256/layer": layer.getvalue(), "blobs/sha256/manifest": manifest, "index.json": index}
    packed(path, "w", **blobs)


def deb(path: Path, place: Path, *names: str) -> None:
    for name in ("DEBIAN/control", *(f"opt/leafgate/lib/python3.11/site-packages/{name}" for name in names)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    (place / "DEBIAN/control").write_text(
        "Package: leafgate\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    command = [require_peer("dpkg-deb"), "-Znone", "--build", place, path]
    subprocess.run(command, check=True, capture_output=True, timeout=LONG_SECONDS)


MODULES = ("gateway/a.py", "protocols/b.py")
COMPILED = ("gateway/a.cpython-311-x86_64-linux-gnu.so", "protocols/b.cpython-311-x86_64-linux-gnu.so")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A release in which nothing is missing."""
    directory = tmp_path / "release"
    directory.mkdir()
    wheel(directory / "leafgate-1-py3-none-any.whl", *MODULES, "leafgate-1.data/data/share/leafgate/mpy/c.mpy")
    wheel(directory / "leafgate-1-cp311-x.whl", *MODULES, *COMPILED, "leafgate-1.data/data/share/leafgate/mpy/c.mpy")
    data = "../../../../share/leafgate/mpy/c.mpy"
    image(directory / "leafgate-1-amd64.oci.tar", *MODULES, *COMPILED, "gateway/__pycache__/a.pyc", data)
    deb(directory / "leafgate_1_amd64.deb", tmp_path / "deb", *MODULES, *COMPILED, "share/leafgate/mpy/c.mpy")
    packed(directory / "leafgate-1.tar.gz", "w:gz", "leafgate-1/Makefile", "leafgate-1/PKG-INFO")
    return directory


def test_files_that_hold_all_of_leafgate_are_told(whole: Path) -> None:
    done = release("contents", whole)
    assert done.returncode == 0, done.stderr
    assert [line.split()[2:] for line in done.stdout.splitlines()] == [
        ["2", "compiled", "leafgate-1-amd64.oci.tar"],
        ["2", "compiled", "leafgate-1-cp311-x.whl"],
        ["0", "compiled", "leafgate-1-py3-none-any.whl"],
        ["2", "compiled", "leafgate_1_amd64.deb"],
        ["leafgate-1.tar.gz"],
    ]


def test_file_that_lacks_something_or_holds_too_much_is_told(whole: Path, tmp_path: Path) -> None:
    wheel(whole / "leafgate-1-cp311-y.whl", *MODULES, *COMPILED)
    wheel(whole / "leafgate-1-cp311-z.whl", *MODULES, COMPILED[0], "leafgate-1.data/data/share/leafgate/mpy/c.mpy")
    image(whole / "leafgate-1-arm64.oci.tar", MODULES[0], *COMPILED)
    (tmp_path / "other").mkdir()
    deb(whole / "leafgate_1_arm64.deb", tmp_path / "other", *MODULES, "share/leafgate/mpy/c.mpy")
    packed(whole / "leafgate-1.tar.gz", "w:gz", "leafgate-1/Makefile", "leafgate-1/tests/integration/kafka/jars/a.jar")
    done = release("contents", whole)
    assert done.returncode == 1
    assert done.stderr.removeprefix("release: ").splitlines() == [
        "leafgate-1-arm64.oci.tar lacks 2 files that others have: protocols/b.py, share/leafgate/mpy/c.mpy",
        "leafgate-1-cp311-y.whl lacks 1 files that others have: share/leafgate/mpy/c.mpy",
        "leafgate-1-cp311-z.whl has 1 compiled modules of 2",
        "leafgate_1_arm64.deb has 0 compiled modules of 2",
        "leafgate-1.tar.gz holds 1 files that are no sources: tests/integration/kafka/jars/a.jar",
    ]


def test_what_is_no_key_is_said(dist: Path) -> None:
    done = release("sign", dist, dist / "leafgate-1.0.whl")
    assert done.returncode == 1
    assert "is no key of ssh-keygen, minisign or OpenSSL" in done.stderr


def test_section_of_the_change_log_gets_its_date_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "CHANGELOG.md"
    file.write_text(LOG)
    for _ in range(2):
        done = release("changelog", file, "0.2.0", "2026-03-01")
        assert done.stdout == "- New: one.\n- New: two.\n"
        assert file.read_text() == LOG.replace("not released yet", "2026-03-01")


@pytest.mark.parametrize(
    ("version", "complaint"), [("0.1.0", "was released on 2026-01-31"), ("0.3.0", "there is no section")]
)
def test_what_was_released_is_not_released_again(tmp_path: Path, version: str, complaint: str) -> None:
    file = tmp_path / "CHANGELOG.md"
    file.write_text(LOG)
    done = release("changelog", file, version, "2026-03-01")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert file.read_text() == LOG


def test_change_log_has_a_section_of_this_version() -> None:
    date_section = runpy.run_path(str(PROGRAM))["date_section"]
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert f"## {VERSION}, " in text
    if "not released yet" in text:
        assert date_section(text, VERSION, "2026-01-01")[1]


def test_command_is_there_by_its_name_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "leafgate", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"leafgate {VERSION} ")


def test_source_distribution_holds_all_that_is_built_tested_and_installed_of_it(tmp_path: Path) -> None:
    script = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    # A copy: what setuptools notes beside the sources is in nobody's way.
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout")
    files = [name for name in listed.stdout.decode().split("\0") if name and (REPOSITORY / name).exists()]
    copy = tmp_path / "copy"
    strangers = (
        "tests/integration/kafka/jars/kafka.jar",
        "tests/integration/node_modules/mqtt/index.js",
        "micropython/.ruff_cache/0.17.6/1",
        "build/x.py",
    )
    for name in strangers:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    for name in files:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    environment = lend_build_tools(tmp_path / "tools")
    command = [sys.executable, "-c", script, str(tmp_path)]
    built = subprocess.run(command, cwd=copy, env=environment, check=False, capture_output=True, timeout=LONG_SECONDS)
    assert built.returncode == 0, built.stderr.decode()
    (archive,) = tmp_path.glob("leafgate-*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert set(files) - names <= {".gitattributes"}
    # What tests and tools have left there is none of it.
    assert names & set(strangers) == set()
    assert {"configs/leafgate.service", "tests/conftest.py", "gateway/dataplane/router.pxd"} <= names


def test_metadata_names_every_version_of_python_that_is_tried() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    versions = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert {"authors", "keywords", "description", "readme", "license", "requires-python"} <= set(project)
