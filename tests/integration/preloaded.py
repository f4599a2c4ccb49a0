"""Libraries in C that are loaded before others, to change what a program hears from its machine."""

import shutil
import subprocess
from pathlib import Path

import pytest


def build_library(source: Path, folder: Path, purpose: str) -> Path:
    """The library made of a source; skips without gcc, and says what the library is to do."""
    if shutil.which("gcc") is None:
        pytest.skip(f"there is no gcc to make a library that {purpose}")
    library = folder / f"{source.stem}.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library
