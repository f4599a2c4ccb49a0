"""What `make release` does beside building, with real keys; and what is in the source distribution."""

import runpy
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from gateway.version import VERSION
from tests.integration.fresh_root import lend_build_tools
from tests.integration.peers import require_peer

pytestmark = pytest.mark.one_form

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "configs/release/release.py"
SECONDS = 120
LOG = """# Changes

## 0.2.0, not released yet

- New: one.
- New: two.

## 0.1.0, 2026-01-31

- First.
"""


def release(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


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
        subprocess.run([require_peer(kind), *words], check=True, capture_output=True, timeout=SECONDS)
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
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=True, timeout=SECONDS)

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
    for name in files:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    environment = lend_build_tools(tmp_path / "tools")
    command = [sys.executable, "-c", script, str(tmp_path)]
    built = subprocess.run(command, cwd=copy, env=environment, check=False, capture_output=True, timeout=SECONDS)
    assert built.returncode == 0, built.stderr.decode()
    (archive,) = tmp_path.glob("leafgate-*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert set(files) - names <= {".gitattributes"}
    assert {"configs/leafgate.service", "tests/conftest.py", "gateway/dataplane/router.pxd"} <= names


def test_metadata_names_every_version_of_python_that_is_tried() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    versions = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert {"authors", "keywords", "description", "readme", "license", "requires-python"} <= set(project)
