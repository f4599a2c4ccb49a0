"""Everything that the guide shows is done as it stands there, and prints what stands there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.command.command_line import build_parser
from gateway.command.parser_tree import commands_of
from tests.guide.reading import CONSOLE, PAGES, blocks, commands, file_name
from tests.guide.transcript import mismatch
from tests.integration.kafka_broker import require_kafka
from tests.integration.peers import missing_peer, require_peer
from tests.patience import LONG_SECONDS

REPOSITORY = Path(__file__).parents[2]
SECONDS = 2 * LONG_SECONDS
# Of network and files, so that nothing outside is met or changed, and of processes, so that all end with the page.
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
NAMESPACES += [] if os.geteuid() == 0 else ["--map-root-user"]
# Beside this interpreter, and where Debian and Go put theirs.
PLACES = (str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", str(Path.home() / "go/bin"))
PLACES += (str(REPOSITORY / "tests/integration/kafka/bin"),)
PROGRAMS = ("leafgate", "nats-server", "nats", "mosquitto", "mosquitto_pub", "node")
# Of one page alone.
MORE_PROGRAMS = {"kubernetes": ("helm",), "kafka": ("java",), "releases": ("minisign", "ssh-keygen")}
PROGRAMS = ("leafgate", "nats-server", "nats", "mosquitto", "mosquitto_pub", "node", "haproxy")
ALL_PAGES = sorted(PAGES.glob("*.md"))
TRIED = [page for page in ALL_PAGES if blocks(page)]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LEAFGATE_", "PYTHON", "NATS_"))}
    return kept | {
        "PATH": os.pathsep.join(PLACES),
        "NODE_PATH": str(REPOSITORY / "tests/integration/node_modules"),
        # Before Node 22 this is what a browser has and Node does not.
        "NODE_OPTIONS": "--experimental-websocket",
        "NO_COLOR": "1",
        "MICROPYPATH": f"{sys.prefix}/share/leafgate/micropython:.frozen",
        "TZ": "UTC",
        "CHECKOUT": str(REPOSITORY),
    }


def follow(page: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """What comes of it when somebody does what a page says, on a machine of its own."""
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
        missing_peer("this system does not let us make namespaces")
    return subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.guide.run_page", str(page), str(directory)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.mark.parametrize("page", TRIED, ids=lambda page: page.stem)
def test_page_holds_when_it_is_followed(page: Path, tmp_path: Path) -> None:
    for program in (*PROGRAMS, *MORE_PROGRAMS.get(page.stem, ())):
        require_peer(program)
    if page.stem == "kafka":
        require_kafka()
    done = follow(page, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ cd / && pwd\n/\n```\n```console\n$ pwd\n/\n```\n", ""),
        ("```console\n$ false\n```\n", ":1: `false` ended with 1"),
        ("```toml\n# leafgate.toml\nnam = 1\n```\n", ":1: leafgate.toml: status 2"),
        ("\n```toml\nname = 1\n```\n", ":2: neither a console nor a file"),
    ],
)
def test_page_that_does_not_hold_is_told_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    page, place = tmp_path / "page.md", tmp_path / "place"
    page.write_text(text)
    place.mkdir()
    done = follow(page, place)
    assert done.returncode == (1 if complaint else 0), done.stdout + done.stderr
    assert complaint in done.stderr


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_every_block_is_one_that_is_tried(page: Path) -> None:
    for block in blocks(page):
        assert block.language == CONSOLE or file_name(block), f"{page.name}:{block.number}"
        if block.language == CONSOLE:
            assert commands(block), f"{page.name}:{block.number}"
    assert re.findall(r"^[ >]+```", page.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_links_lead_to_pages_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (PAGES / link.partition("#")[0]).is_file(), f"{page.name}: {link}"


@pytest.mark.parametrize(
    ("shown", "printed", "wrong"),
    [
        (["a", "b"], [["a", "b"]], False),
        (["a", "b"], [["b"], ["a"]], False),
        (["a"], [["a", "b"]], True),
        (["a", "…"], [["x", "a", "b"]], False),
        (["a … c"], [["a 17 c"]], False),
        (["a … c"], [["a 17 d"]], True),
        (["b", "a"], [["a", "b"]], True),
        (["a.c"], [["abc"]], True),
        ([], [["whatever"]], False),
    ],
)
def test_what_was_printed_is_compared_line_by_line(shown: list[str], printed: list[list[str]], wrong: bool) -> None:
    assert (mismatch(shown, printed) is not None) == wrong


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_commands_named_in_a_sentence_are_there(page: Path) -> None:
    """With the options that are named beside them."""
    known = {" ".join(node.words): node for node in commands_of(build_parser()) if node.words}
    for named in re.findall(r"`(?:sudo )?leafgate ([^`\n]+)`", page.read_text()):
        words = [word for word in named.split() if not word.startswith("-")]
        command = max((" ".join(words[:length]) for length in (1, 2)), key=lambda name: (name in known, len(name)))
        assert command in known, f"{page.name}: {named}"
        options = {option for action in known[command].options() for option in action.option_strings}
        assert {word for word in named.split() if word.startswith("-")} <= options, f"{page.name}: {named}"


def test_site_has_every_page(tmp_path: Path) -> None:
    with (PAGES.parent / "mkdocs.yml").open() as file:
        text = file.read()
    assert {page.name for page in ALL_PAGES} == set(re.findall(r"(\S+\.md)$", text, re.MULTILINE))


def test_sdist_has_the_guide() -> None:
    assert "graft gateway/guide" in (REPOSITORY / "MANIFEST.in").read_text().splitlines()
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        assert "guide" in tomllib.load(file)["project"]["optional-dependencies"]
