"""Late modules: what is imported but not used is not loaded, and is itself once it is used."""

import subprocess
import sys

from tests.integration.peers import python_path

BEGIN = """
import sys, types
from gateway.runtime.late_modules import load_late
load_late("ssl", "hmac", "hashlib", "sys")
import ssl, hmac
assert type(sys) is types.ModuleType
"""


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        env={"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_module_is_not_loaded_by_its_import():
    assert run("import trio; print('_ssl' in sys.modules, '_hashlib' in sys.modules)") == "False False\n"


def test_module_is_itself_once_something_is_asked_of_it():
    program = (
        "print(ssl.create_default_context().check_hostname, type(ssl) is types.ModuleType, ssl is sys.modules['ssl'])"
    )
    assert run(program) == "True True True\n"


def test_name_can_be_imported_from_a_late_module():
    assert run("from hmac import compare_digest; print(compare_digest('a', 'a'))") == "True\n"


def test_what_a_module_does_not_have_is_an_error_as_ever():
    program = """
try:
    ssl.nothing_of_this_name
except AttributeError as error:
    print(error)
"""
    assert run(program) == "module 'ssl' has no attribute 'nothing_of_this_name'\n"
