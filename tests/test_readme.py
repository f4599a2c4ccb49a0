"""What the README says of the rooms is what is there."""

import ast
import operator
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_architecture import ORDER, sources

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
ROOM_PAGES = [page for page in PAGES if page.name == "README.md" and page.is_relative_to(REPOSITORY / "gateway")]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# What names of ours look like where a room's page quotes them: a file or folder, a class, what is in a class or in a
# module, words that are joined.
FILE = re.compile(r"[\w/]+\.py|[a-z_]\w*(?:/\w+)*/")
CLASS = re.compile(r"[A-Z][a-z]+[A-Za-z]*")
MEMBER = re.compile(r"([A-Za-z_][\w.]*)\.(\w+)")
JOINED = re.compile(r"[A-Za-z]\w*_\w*[A-Za-z]")
# Named by Kubernetes, JetStream and Python; made by a build; made of another name where it is used.
OTHER_NAMES = frozenset(("MaxAge", "Ready", "Secret", "True", "built/", "leafgate_messages_streams"))
# A row that ends with what has the number, as a constant or a key of the configuration.
BOUND = re.compile(r"\|[^|]+\| ([\d.,]+)(?: (\w+))? \|([^|]+)\|")
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "ms": 1e-3}
OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Div: operator.truediv,
    ast.LShift: operator.lshift,
    ast.Mult: operator.mul,
}


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


def words_of_sources() -> set[str]:
    """Every word of the programs, names and what stands in texts of theirs."""
    paths = [*sources("gateway"), *sources("protocols"), REPOSITORY / "setup.py"]
    return {word for path in paths for word in re.findall(r"\w+", path.read_text())}


def members() -> dict[str, set[str]]:
    """What classes have, by their names; what those have that they derive from is theirs, too."""
    found: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}
    for room in ("gateway", "protocols"):
        for path in sources(room):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.ClassDef):
                    continue
                names = found.setdefault(node.name, set())
                above.setdefault(node.name, set()).update(ast.unparse(base).split("[")[0] for base in node.bases)
                for one in ast.walk(node):
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                        names.add(one.name)
                    elif isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store):
                        names.add(one.attr)
                    elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                        names.add(one.id)
    for name, names in found.items():
        waiting = [*above[name]]
        while waiting:
            base = waiting.pop()
            if not found.get(base, set()) <= names:
                names |= found[base]
                waiting += above[base]
    return found


def number_of(node: ast.expr, known: dict[str, float | None]) -> float | None:
    """What an expression comes to that is made of numbers and names, or the first argument of what is called."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Call) and node.args:
        return number_of(node.args[0], known)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = number_of(node.left, known), number_of(node.right, known)
        return None if left is None or right is None else OPERATORS[type(node.op)](left, right)
    return None


def constants(path: Path) -> dict[str, float | None]:
    """What a module calls by a name at its top, and what that comes to where it is a number."""
    found: dict[str, float | None] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name.isupper() for alias in node.names):
            source = REPOSITORY / (node.module.replace(".", "/") + ".py")
            there = constants(source) if source.is_file() else {}
            found |= {alias.name: there.get(alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = number_of(node.value, found)
    return found


def missing_names(page: Path, known: set[str], classes: dict[str, set[str]]) -> list[str]:
    """What a room's page quotes that looks like a name of ours, and is none."""
    room = page.parent
    places = (room, REPOSITORY / "gateway", REPOSITORY)
    missing = []
    for name in sorted(set(QUOTED.findall(FENCED.sub("", page.read_text())))):
        member = MEMBER.fullmatch(name)
        if name in OTHER_NAMES:
            continue
        if FILE.fullmatch(name):
            there = any((place / name).exists() for place in places) or "KIND" in name
        elif CLASS.fullmatch(name):
            there = name in classes
        elif member and member[1] in classes:
            there = member[2] in classes[member[1]]
        elif member and (module := room / (member[1].replace(".", "/") + ".py")).is_file():
            there = member[2] in constants(module) or member[2] in definitions(module)
        elif JOINED.fullmatch(name):
            there = name.removesuffix("_total") in known  # What counters of Prometheus end with.
        else:
            continue
        if not there:
            missing.append(name)
    return missing


def test_every_room_of_the_gateway_says_what_it_is_for():
    rooms = {path.parent for path in sources("gateway") if path.parent.parent == REPOSITORY / "gateway"}
    assert {page.parent for page in ROOM_PAGES} >= rooms


def test_names_that_are_not_there_are_found(tmp_path):
    (tmp_path / "there.py").write_text("CONSTANT = 1\n\ndef work(): ...\n")
    page = tmp_path / "README.md"
    quoted = (
        "there.py gone.py Thing Other Thing.act Thing.lost there.work there.CONSTANT there.NONE a_word no_word max-size"
    )
    page.write_text(" ".join(f"`{name}`" for name in quoted.split()) + "\n```\n`Fenced`\n```\n")
    found = missing_names(page, {"a_word"}, {"Thing": {"act"}})
    assert found == ["Other", "Thing.lost", "gone.py", "no_word", "there.NONE"]


def test_files_and_functions_that_the_pages_of_rooms_name_are_there():
    known, classes = words_of_sources(), members()
    missing = {str(page.relative_to(REPOSITORY)): missing_names(page, known, classes) for page in ROOM_PAGES}
    assert {page: names for page, names in missing.items() if names} == {}


LISTING = [page for page in ROOM_PAGES if "\n| file | what |\n" in page.read_text()]
BOUNDED = [page for page in ROOM_PAGES if "\n| what | how much | what says so |\n" in page.read_text()]


@pytest.mark.parametrize("page", LISTING, ids=lambda page: page.parent.name)
def test_a_page_with_a_table_of_files_lists_them_all(page: Path):
    room = page.parent
    listed = {name for name in QUOTED.findall(page.read_text()) if (room / name).exists()}
    whole = {name.rstrip("/") for name in listed if (room / name).is_dir()}
    files = [path.relative_to(room) for path in room.rglob("*.py") if not path.name.startswith("__")]
    assert [str(path) for path in sorted(files) if str(path) not in listed and path.parts[0] not in whole] == []


@pytest.mark.parametrize("page", BOUNDED, ids=lambda page: page.parent.name)
def test_bounds_are_those_of_the_source_and_of_the_defaults(page: Path):
    with (REPOSITORY / "configs/leafgate.toml").open("rb") as file:
        defaults = tomllib.load(file)
    rows = [line for line in section("## Bounds", page.read_text()).splitlines() if line.startswith("|")][2:]
    assert rows
    for row in rows:
        found = BOUND.fullmatch(row)
        assert found is not None, row
        number, unit, names = found.groups(default="")
        assert QUOTED.findall(names), row
        for name in QUOTED.findall(names):
            place, _, last = name.rpartition(".")
            module = page.parent / (place.replace(".", "/") + ".py")
            value = constants(module).get(last) if module.is_file() else defaults.get(place, {}).get(last)
            assert value == pytest.approx(float(number.replace(",", "")) * UNITS[unit]), row
