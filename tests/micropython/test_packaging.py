"""How boards get the client: mip and a frozen manifest have all of it."""

import functools
import http.server
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from gateway.version import VERSION
from tests.micropython.unix_port import LIBRARY, find
from tests.patience import PATIENCE_SECONDS

MODULES = {f"leafgate/{path.name}" for path in (LIBRARY / "leafgate").glob("*.py")}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def test_package_names_every_module_once():
    package = json.loads((LIBRARY / "package.json").read_text())
    assert package["version"] == VERSION
    assert package["urls"] == [[name, name] for name in sorted(MODULES)]


def test_mip_installs_what_can_be_imported(tmp_path: Path):
    handler = functools.partial(Quiet, directory=str(LIBRARY))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/package.json"
        try:
            run(f"import mip; mip.install({url!r}, target={str(tmp_path)!r})", LIBRARY)
        finally:
            server.shutdown()
    assert {f"leafgate/{path.name}" for path in (tmp_path / "leafgate").iterdir()} == MODULES
    for name in MODULES:
        assert (tmp_path / name).read_bytes() == (LIBRARY / name).read_bytes()
    assert run("import leafgate; print(leafgate.__file__)", tmp_path).strip() == str(tmp_path / "leafgate/__init__.py")


def run(program: str, path: Path) -> str:
    line = [find("micropython"), "-c", program]
    environment = {"MICROPYPATH": f"{path}:.frozen"}
    told = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_manifest_freezes_the_package():
    called: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def record(name: str) -> Any:
        return lambda *arguments, **options: called.append((name, arguments, options))

    names = {name: record(name) for name in ("metadata", "package")}
    exec((LIBRARY / "manifest.py").read_text(), names)
    (_, (), metadata), (kind, arguments, options) = called
    assert metadata["version"] == VERSION
    assert (kind, arguments, options) == ("package", ("leafgate",), {})
