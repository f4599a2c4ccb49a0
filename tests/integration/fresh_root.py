"""Root directories in which leafgate is installed anew, without a network: what pip would fetch is lent by this
environment.
"""

import os
import sysconfig
from pathlib import Path

BUILD_TOOLS = ("setuptools*", "_distutils_hack", "pkg_resources")
PIP_OPTIONS = ("--no-deps", "--no-build-isolation", "--no-index")


def lend_build_tools(directory: Path) -> dict[str, str]:
    """Variables for building leafgate with the setuptools of this environment, in the form that is quick to build."""
    directory.mkdir()
    for pattern in BUILD_TOOLS:
        for found in Path(sysconfig.get_path("purelib")).glob(pattern):
            (directory / found.name).symlink_to(found)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LEAFGATE_", "PYTHON"))}
    return kept | {"PYTHONPATH": str(directory), "LEAFGATE_PURE": "1"}


def lend_packages(root: Path) -> None:
    """What leafgate needs, for the environment that was made at /opt/leafgate; its own modules come first."""
    (folder,) = root.glob("opt/leafgate/lib/python3*/site-packages")
    (folder / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
