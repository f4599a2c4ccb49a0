"""Where wheels are tried, on ARM and under other versions of Python, there is what the tests there import."""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_form

TESTS = Path(__file__).parents[1]


def imported(path: Path, seen: set[Path]) -> Iterator[str]:
    """The roots of what a file imports, and those files of the tests that it imports."""
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            file = TESTS.parent / f"{name.replace('.', '/')}.py"
            if name.startswith("tests.") and file not in seen:
                yield from imported(file, seen)
            yield name.partition(".")[0]


@pytest.mark.parametrize("script", ["arm/run.sh", "pythons/run.sh"])
def test_what_every_test_imports_is_installed(script: str) -> None:
    distributions = packages_distributions()
    roots = set(imported(TESTS / "conftest.py", set()))
    wanted = {distributions[root][0] for root in roots if root in distributions} - {"leafgate"}
    assert {"pytest", "hypothesis"} <= wanted
    assert wanted - set(re.findall(r"[\w-]+", (TESTS / script).read_text())) == set()
