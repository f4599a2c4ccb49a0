"""Which room may import which, read from the source with `ast`."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_form

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("firmware", "gateway", "protocols")
OURS = frozenset((*ROOMS, "micropython", "tests"))
# The outside world: a codec gets bytes, time, random bytes and limits as arguments.
OUTSIDE_WORLD = frozenset(
    (
        "asyncio",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    )
)
# Sans I/O all of them. `cython` is there for the compiled form only (protocols/form.py).
CODEC_LIBRARIES = frozenset(("cython", "h11", "msgspec"))
DEVICE_COMMANDS = tuple(f"gateway/command/{name}.py" for name in ("device", "device_updates", "device_users"))
DEVICE_COMMAND_MODULES = ("gateway.command.device", "gateway.command.device_updates")
EMPTY_NAMES = frozenset(("base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"))


def sources(room: str) -> list[Path]:
    return sorted(path for path in (REPOSITORY / room).rglob("*.py") if "__pycache__" not in path.parts)


def imports(source: str) -> Iterator[str]:
    """Dotted names of everything that a module imports. A relative import stays in its own room."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_are_found_wherever_they_stand():
    found = set(imports("import a.b\ndef f():\n    from c import d\nif TYPE_CHECKING:\n    import e as f\n"))
    assert found == {"a.b", "c", "c.d", "e"}


def offenders(room: str, allowed) -> list[str]:
    return [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in sources(room)
        for name in imports(path.read_text())
        if not allowed(name, name.partition(".")[0])
    ]


def test_protocols_import_only_themselves_and_what_does_no_input_or_output():
    allowed_roots = (sys.stdlib_module_names - OUTSIDE_WORLD) | CODEC_LIBRARIES | {"protocols"}
    assert offenders("protocols", lambda _, root: root in allowed_roots) == []


def test_gateway_imports_of_ours_only_protocols_and_itself():
    found = offenders("gateway", lambda _, root: root not in OURS - {"gateway", "protocols"})
    # The command line is where the tools for boards and the subject space meet; nothing of the daemon is in there.
    assert [text for text in found if not text.startswith(DEVICE_COMMANDS)] == []


def test_only_the_command_line_imports_the_device_commands():
    importers = {
        path.stem for path in sources("gateway") for name in imports(path.read_text()) if name in DEVICE_COMMAND_MODULES
    }
    assert importers == {"command_line", "device"}


def test_firmware_imports_of_ours_only_the_serial_link_and_itself():
    def allowed(name: str, root: str) -> bool:
        return root not in OURS - {"firmware"} or f"{name}.".startswith("protocols.serial_link.")

    assert offenders("firmware", allowed) == []


def test_esptool_is_run_but_never_imported():
    roots = {name.partition(".")[0] for room in ROOMS for path in sources(room) for name in imports(path.read_text())}
    assert roots & {"esptool", "espefuse", "espsecure", "esp_rfc2217_server"} == set()


def test_micropython_imports_nothing_of_ours():
    assert offenders("micropython", lambda _, root: root not in OURS - {"micropython"}) == []


@pytest.mark.parametrize("room", [*ROOMS, "micropython"])
def test_every_module_has_a_name_that_tells_its_content(room):
    names = {part for path in sources(room) for part in path.relative_to(REPOSITORY).with_suffix("").parts}
    assert names & EMPTY_NAMES == set()


def test_every_package_is_named_to_the_build_back_end():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        told = tomllib.load(file)["tool"]["setuptools"]
    folders = {str(path.parent.relative_to(REPOSITORY)) for room in ROOMS for path in sources(room)}
    assert told["packages"] == sorted(told["packages"])
    # One is installed under another name.
    assert {told["package-dir"].get(name, name.replace(".", "/")) for name in told["packages"]} == folders


def test_types_are_checked_alike_with_and_without_the_extras():
    """mypy runs where only the core and the linters are installed, and where all is; it skips what may be missing."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        told = tomllib.load(file)
    extras = told["project"]["optional-dependencies"]
    lines = [*told["project"]["dependencies"], *extras["lint"], *extras["flash"]]
    installed = {re.match(r"[\w.-]+", line)[0].lower() for line in lines}  # type: ignore[index]
    (override,) = told["tool"]["mypy"]["overrides"]
    skipped = {name.removesuffix(".*") for name in override["module"]}
    roots = {name.split(".")[0] for room in ROOMS for path in sources(room) for name in imports(path.read_text())}
    distributions = packages_distributions()
    foreign = roots - set(sys.stdlib_module_names) - set(OURS)
    missing = {root for root in foreign if not {name.lower() for name in distributions.get(root, [])} & installed}
    # It comes with trio.
    assert missing - {"outcome"} == skipped


def test_every_package_has_an_init_file():
    folders = {path.parent for room in ROOMS for path in sources(room)}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


# Where a board finds its modules, the innermost last; a room of the gateway's side is found from the repository.
BOARD_PATHS = [REPOSITORY / "micropython" / folder for folder in ("", "examples", "ota/root", "ota/slot")]


def module_names(room: str) -> dict[str, list[Path]]:
    """The files of each module by its dotted name: the source, and the stub where there is one."""
    roots = BOARD_PATHS if room == "micropython" else [REPOSITORY]
    found: dict[str, list[Path]] = {}
    for path in sources(room) + sorted((REPOSITORY / room).rglob("*.pyi")):
        root = next(root for root in reversed(roots) if path.is_relative_to(root))
        parts = path.relative_to(root).with_suffix("").parts
        found.setdefault(".".join(parts[:-1] if parts[-1] == "__init__" else parts), []).append(path)
    return found


def import_graph(room: str) -> dict[str, set[str]]:
    """Which modules of the room each one imports: anywhere, for the type checker alone, or in its stub."""
    modules = module_names(room)
    return {
        module: {name for path in paths for name in imports(path.read_text()) if name in modules} - {module}
        for module, paths in modules.items()
    }


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other, each sorted."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    reach = {module: reached(module) for module in graph}
    groups = {frozenset(other for other in reach[one] if one in reach[other]) for one in graph if one in reach[one]}
    return sorted(sorted(group) for group in groups)


def test_circles_of_imports_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f", "a"}, "f": {"g"}, "g": {"e"}}
    assert circles(graph) == [["b", "c"], ["e", "f", "g"]]


def test_graph_of_the_board_has_lazy_imports_and_stubs():
    graph = import_graph("micropython")
    assert {"leafgate.answers", "leafgate.entry", "leafgate.wire"} <= graph["leafgate.client"]
    assert "boot_slots" in graph["agent"]
    assert "leafgate.wire" in graph["leafgate.entry"]


@pytest.mark.parametrize("room", [*ROOMS, "micropython"])
def test_no_modules_import_each_other_in_a_circle(room):
    assert circles(import_graph(room)) == []


# From the command line down: each may import those behind it, and those beside it.
ORDER = (
    ("operator",),
    ("command",),
    ("daemon",),
    ("assembly",),
    ("console", "system"),
    ("monitoring", "reloading"),
    ("doors",),
    ("forwarding", "integrations", "pair"),
    ("bridges", "uplink", "devices", "websocket"),
    ("nats", "mqtt", "fluent"),
    ("streams",),
    ("services",),
    ("accounts",),
    ("transport",),
    ("runtime", "storage"),
    ("dataplane", "rules", "settings"),
)
# What every folder may import: they import nothing of the gateway's.
LEAVES = frozenset(("errors", "version"))


def folder_of(name: str) -> str:
    """The folder, or the file at the top, that a module of the gateway's belongs to; "" for other modules."""
    parts = name.split(".")
    return parts[1] if parts[0] == "gateway" and len(parts) > 1 else ""


def test_folders_of_the_gateway_stand_in_their_order():
    floors = {folder: floor for floor, folders in enumerate(ORDER) for folder in folders}
    found = set()
    for path in sources("gateway"):
        here = path.relative_to(REPOSITORY / "gateway").with_suffix("").parts[0]
        if here.startswith("__") or here in LEAVES:
            continue
        for name in imports(path.read_text()):
            there = folder_of(name)
            if there and there not in LEAVES and floors[there] < floors[here]:
                found.add(f"{path.relative_to(REPOSITORY)} imports {name}")
    assert sorted(found) == []


def test_order_names_every_folder_of_the_gateway():
    folders = {path.relative_to(REPOSITORY / "gateway").with_suffix("").parts[0] for path in sources("gateway")}
    named = {folder for floor in ORDER for folder in floor}
    assert {folder for folder in folders if not folder.startswith("__")} - LEAVES == named


def test_leaves_import_nothing_of_the_gateway():
    for leaf in LEAVES:
        names = imports((REPOSITORY / "gateway" / f"{leaf}.py").read_text())
        assert [name for name in names if name.startswith("gateway")] == []


def test_only_the_command_line_and_the_tests_know_the_daemon():
    importers = {
        str(path.relative_to(REPOSITORY))
        for path in sources("gateway")
        if any(folder_of(name) == "daemon" for name in imports(path.read_text())) and path.parent.name != "daemon"
    }
    assert importers == {"gateway/command/command_line.py"}


# Whose JSON it is that a module reads by itself: our own files, what a person asked a server for, or what a bare
# decoder reads where RecursionError is caught beside its own errors.
READS_OWN_JSON = {
    "gateway/command/device_updates.py",
    "gateway/command/monitoring_client.py",
    "gateway/command/streams/api.py",
    "gateway/command/streams/commands.py",
    "gateway/command/streams/export.py",
    "gateway/command/streams/objects.py",
    "gateway/command/streams/reading.py",
    "gateway/operator/gateway_peer.py",
    "gateway/operator/schemas.py",
    "gateway/storage/backup.py",
    "gateway/storage/batch.py",
    "gateway/storage/queue_pages.py",
    "gateway/storage/streams/limits.py",
}
JSON_READERS = {"msgspec.json.decode", "msgspec.json.Decoder", "json.loads", "json.load"}


def readers_of_json(source: str) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)} & JSON_READERS


def test_json_of_others_is_read_where_everything_that_may_come_of_it_is_caught():
    """What is nested too deeply raises RecursionError, which would end the connection of whoever handed it on."""
    assert readers_of_json("x = msgspec.json.Decoder(int)\ny = json.loads(b'')\n") == {
        "msgspec.json.Decoder",
        "json.loads",
    }
    found = {
        str(path.relative_to(REPOSITORY))
        for room in ("gateway", "protocols")
        for path in sources(room)
        if readers_of_json(path.read_text()) and "RecursionError" not in path.read_text()
    }
    assert found == READS_OWN_JSON
