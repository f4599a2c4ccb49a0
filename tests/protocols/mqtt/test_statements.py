"""The ledger statements.toml: it holds every normative statement, and the tests that it names exist."""

import ast
import tomllib
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
LEDGER = tomllib.loads(Path(__file__).with_name("statements.toml").read_text())

# How many statements each section of the specifications has; they are numbered from 1.
SECTIONS = {
    "v5": (
        "1.5.4: 3, 1.5.5: 1, 1.5.7: 1, 2.1.3: 1, 2.2.1: 6, 2.2.2: 1, 3.1.0: 2, 3.1.2: 30, 3.1.3: 12, 3.1.4: 6, "
        "3.2.0: 2, 3.2.2: 22, 3.3.1: 13, 3.3.2: 20, 3.3.4: 10, 3.4.2: 3, 3.5.2: 3, 3.6.1: 1, 3.6.2: 3, 3.7.2: 3, "
        "3.8.1: 1, 3.8.3: 5, 3.8.4: 8, 3.9.2: 2, 3.9.3: 2, 3.10.1: 1, 3.10.3: 2, 3.10.4: 6, 3.11.2: 2, 3.11.3: 2, "
        "3.12.4: 1, 3.14.0: 1, 3.14.1: 1, 3.14.2: 4, 3.14.4: 3, 3.15.1: 1, 3.15.2: 3, 4.1.0: 2, 4.2: 1, 4.3.1: 1, "
        "4.3.2: 5, 4.3.3: 13, 4.4.0: 2, 4.5.0: 2, 4.6.0: 6, 4.7.0: 1, 4.7.1: 2, 4.7.2: 1, 4.7.3: 4, 4.8.2: 6, "
        "4.9.0: 3, 4.12.0: 7, 4.12.1: 2, 4.13.1: 1, 4.13.2: 1, 6.0.0: 4"
    ),
    "v311": (
        "1.5.3: 3, 2.2.2: 2, 2.3.1: 7, 3.1.0: 2, 3.1.2: 24, 3.1.3: 11, 3.1.4: 5, 3.2.0: 1, 3.2.2: 6, 3.3.1: 12, "
        "3.3.2: 3, 3.3.4: 1, 3.3.5: 2, 3.6.1: 1, 3.8.1: 1, 3.8.3: 4, 3.8.4: 6, 3.9.3: 2, 3.10.1: 1, 3.10.3: 2, "
        "3.10.4: 6, 3.12.4: 1, 3.14.1: 1, 3.14.4: 3, 4.1.0: 2, 4.3.1: 1, 4.3.2: 2, 4.3.3: 2, 4.4.0: 1, 4.5.0: 2, "
        "4.6.0: 6, 4.7.1: 3, 4.7.2: 1, 4.7.3: 4, 4.8.0: 2, 6.0.0: 4, 7.0.0: 2, 7.1.1: 1, 7.1.2: 1"
    ),
}
# The specification counts on from where a draft had one more.
LEFT_OUT = {("v5", "2.2.1-1")}

versions = pytest.mark.parametrize("version", SECTIONS)


def expected(version: str) -> list[str]:
    """All identifiers, in the order of the specification."""
    rows = (row.split(": ") for row in SECTIONS[version].split(", "))
    numbered = (f"{section}-{number}" for section, count in rows for number in range(1, int(count) + 1))
    return [identifier for identifier in numbered if (version, identifier) not in LEFT_OUT]


@cache
def functions(file: str) -> frozenset[str]:
    """Names of the functions in a file of this repository, also of those in classes."""
    tree = ast.parse((REPOSITORY / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@versions
def test_ledger_holds_every_statement_once_and_in_order(version: str) -> None:
    assert [entry["id"] for entry in LEDGER[version]] == expected(version)


@versions
def test_sections_stand_together(version: str) -> None:
    sections = [section for section, _ in groupby(entry["id"].partition("-")[0] for entry in LEDGER[version])]
    assert len(sections) == len(set(sections))


@versions
def test_every_statement_has_either_tests_or_a_reason(version: str) -> None:
    for entry in LEDGER[version]:
        assert entry.keys() in ({"id", "says", "tests"}, {"id", "says", "reason"}), entry["id"]
        assert all(entry.values()), entry["id"]


@versions
def test_every_test_that_is_named_exists(version: str) -> None:
    missing = []
    for entry in LEDGER[version]:
        for test in entry.get("tests", ()):
            file, _, name = test.partition("::")
            function, _, parameter = name.partition("[")
            known = functions(file)
            # A parameter that is named is a scenario, which is a function too.
            if function not in known or (parameter and parameter.rstrip("]") not in known):
                missing.append((entry["id"], test))
    assert missing == []


@versions
def test_no_test_is_named_twice_for_a_statement(version: str) -> None:
    for entry in LEDGER[version]:
        tests = entry.get("tests", [])
        assert len(tests) == len(set(tests)), entry["id"]


def test_ledger_has_nothing_else() -> None:
    assert LEDGER.keys() == SECTIONS.keys()
