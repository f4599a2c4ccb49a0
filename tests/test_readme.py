"""What the README says of the rooms is what is there."""

import ast
import re
from pathlib import Path

import pytest

from tests.test_architecture import ORDER

pytestmark = pytest.mark.one_form

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
QUOTED = re.compile(r"`([^`\n]+)`")
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        ".github/*.md",
        *(f"{room}/**/*.md" for room in ("firmware", "gateway", "micropython", "protocols", "tests")),
    )
    for path in REPOSITORY.glob(pattern)
    if "node_modules" not in path.parts
)
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)(?:#([^)]+))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# What is quoted and is no name of ours.
WORDS = frozenset(("await", "Burst"))


def section(title: str, text: str = README) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level, _, name = title.partition(" ")
    _, _, behind = text.partition(f"\n{level} {name}\n")
    assert behind, title
    return re.split(rf"^#{{1,{len(level)}}} ", behind, maxsplit=1, flags=re.MULTILINE)[0]


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made of the words."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", name).strip().lower().replace(" ", "-") for name in found}


def tree() -> str:
    return section("## The rooms").split("```")[1]


def definitions(path: Path) -> set[str]:
    """The functions, classes and methods of a file, methods as `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def test_tree_shows_every_folder_of_the_gateway_and_none_that_is_not_there():
    gateway = REPOSITORY / "gateway"
    folders = {path.name for path in gateway.iterdir() if path.is_dir() and path.name != "__pycache__"}
    below = tree().partition("gateway/\n")[2].partition("\nfirmware/")[0]
    assert set(re.findall(r"\b(\w+)/ ", below)) == folders
    for name in re.findall(r"^(\w+)/", tree(), re.MULTILINE):
        assert (REPOSITORY / name).is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_what_is_there(page: Path):
    """To files, and to headings in them; what stands on other hosts nobody can tell here."""
    for target, heading in LINK.findall(CODE.sub("", page.read_text())):
        path = page.parent / target if target else page
        assert path.exists(), f"{target} does not exist"
        if heading:
            assert heading in headings(path.read_text()), f"{target}#{heading}"


def test_order_of_imports_is_the_one_that_is_tested():
    quoted = " ".join(line[2:] for line in section("## The rooms").splitlines() if line.startswith("> "))
    assert (
        tuple(tuple(floor.split(", ")) for floor in quoted.split(" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "))
        == ORDER
    )


def test_every_file_and_function_that_a_message_passes_exists():
    known: dict[str, set[str]] = {}
    named = []
    for name in QUOTED.findall(section("### Follow one message")):
        if name.endswith(".py"):
            assert (REPOSITORY / name).is_file(), name
            known[name] = definitions(REPOSITORY / name)
        elif name not in WORDS:
            named.append(name)
            assert any(name in defined for defined in known.values()), name
    assert len(known) >= 10
    assert len(named) >= 12


def test_both_protocols_take_each_step_of_their_own_through_one_entry_of_the_router():
    steps = re.split(r"^\d\. ", section("### Follow one message"), flags=re.MULTILINE)[1:]
    assert len(steps) == 6
    assert ["NATS:" in step and "MQTT:" in step for step in steps] == [False, True, True, False, True, False]
    entries = {name for step in steps for name in QUOTED.findall(step) if name.startswith("Router.")}
    assert entries == {"Router.forward"}
