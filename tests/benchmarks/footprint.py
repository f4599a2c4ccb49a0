"""What a server is when it is carried to a box: its own files, packed as in a wheel, and how many distributions."""

import json
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

from machine import LoadError
from measures import Effort, Outcome, Site
from servers import GATEWAY

# As zip files are packed when nothing else is asked for.
_LEVEL = 6
# Run by the interpreter that runs the gateway: the files of the distribution, and the distributions that it needs.
_ASK = """
import json, re
from importlib.metadata import PackageNotFoundError, distribution

def needed(name, found):
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return
    try:
        requirements = distribution(name).requires or ()
    except PackageNotFoundError:  # For another system or another Python.
        return
    found.add(name)
    for line in requirements:
        if "extra ==" not in line:
            needed(re.match(r"[\\w.-]+", line)[0], found)

found = set()
needed("leafgate", found)
own = distribution("leafgate")
files = [str(own.locate_file(file)) for file in own.files or () if not str(file).endswith((".pyc", "RECORD"))]
print(json.dumps({"files": files, "distributions": len(found)}))
"""


def footprint(site: Site, effort: Effort) -> Outcome:
    """MB of the server's own files, packed, and the number of distributions; a program that is one file is one."""
    process = Path(f"/proc/{site.server.pid}")
    if site.server.name != GATEWAY:
        return Outcome({"packed": _packed([process / "exe"]) / 1e6, "distributions": 1})
    python = (process / "cmdline").read_bytes().split(b"\0")[0]
    done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise LoadError(f"leafgate is no distribution of {python!r}: {done.stderr[-200:]}")
    told = json.loads(done.stdout)
    return Outcome({"packed": _packed(map(Path, told["files"])) / 1e6, "distributions": told["distributions"]})


def _packed(files: Iterable[Path]) -> int:
    return sum(len(zlib.compress(path.read_bytes(), _LEVEL)) for path in files)
