"""What controllers and a kubelet do for a StatefulSet of one pod: volumes, the process, its hook at the end.

Paths of the pod are folders of this machine, and the Services' addresses are those of its loopback interface: what a
container and a network would hide is put in the place of the pod's own paths and addresses.
"""

import base64
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from gateway.operator.kinds import CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET, Kind
from gateway.operator.rendering import MONITORING_PORT
from tests.integration.peers import LOG_TAIL, python_path
from tests.kubernetes.api import Document, RefusedError

POLL_SECONDS = 0.1
SECONDS = 120


class Objects(Protocol):
    """Where objects are: an API, or what stands in for one."""

    def get(self, kind: Kind, namespace: str, name: str) -> Document | None: ...

    def patch(self, kind: Kind, namespace: str, name: str, change: Document, sub: str = "") -> Document: ...


class Kubelet:
    """Runs one StatefulSet in a thread; as a context it ends with what it started."""

    def __init__(self, api: Objects, namespace: str, name: str, folder: Path) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._written: dict[str, dict[str, bytes]] = {}
        self._turns = 0
        self._is_away = False
        # Held for a whole turn, at whose beginning it is looked whether the node is away.
        self._stepping = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.starts = 0
        self.drained = False
        self.faults: list[str] = []

    def __enter__(self) -> "Kubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # Longer than a hook and an end may take: a turn that goes on would start what nobody ends.
        self._thread.join(3 * SECONDS)
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        file = self._folder / "log"
        return file.read_text(errors="replace")[-LOG_TAIL:] if file.exists() else ""

    @contextmanager
    def away(self) -> Iterator[None]:
        """As a node that loses its power, and gets it back at the end."""
        with self._stepping:
            self._is_away = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
        try:
            yield
        finally:
            self._is_away = False

    def _run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            try:
                with self._stepping:
                    self._step()
            except (OSError, RefusedError, KeyError, subprocess.SubprocessError) as error:
                self.faults.append(repr(error))

    def _step(self) -> None:
        found = self._api.get(STATEFUL_SET, self._namespace, self._name)
        wanted = bool(found and found["spec"]["replicas"])
        if found is not None and wanted and not self._is_away:
            pod = found["spec"]["template"]["spec"]
            self._mount(pod)
            if self._process is None or self._process.poll() is not None:
                self._start(pod)
        elif not wanted and self._process is not None and found is not None:
            self._end(found["spec"]["template"]["spec"])
        if found is not None:
            running = int(self._process is not None)
            if (found.get("status") or {}).get("replicas") != running:
                status = {"replicas": running, "readyReplicas": running}
                self._api.patch(STATEFUL_SET, self._namespace, self._name, {"status": status}, "status")

    def _start(self, pod: Document) -> None:
        self.starts += 1
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(pod["containers"][0]["command"]),
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _command(self, command: list[str]) -> list[str]:
        assert command[0] == "leafgate"
        return [sys.executable, "-m", "gateway", *(self._inside(word) for word in command[1:])]

    def _end(self, pod: Document) -> None:
        assert self._process is not None
        hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        environment = os.environ | {"PYTHONPATH": python_path()}
        done = subprocess.run(
            self._command(hook), capture_output=True, text=True, check=False, timeout=SECONDS, env=environment
        )
        if done.returncode:
            self.faults.append(done.stderr)
        self._process.terminate()
        self.drained = self._process.wait(SECONDS) == 0 and not done.returncode
        self._process = None

    def _inside(self, path: str) -> str:
        return f"{self._folder}{path}" if path.startswith("/") else path

    def _mount(self, pod: Document) -> None:
        for mount in pod["containers"][0]["volumeMounts"]:
            volume = next((one for one in pod["volumes"] if one["name"] == mount["name"]), {})
            place = Path(self._inside(mount["mountPath"]))
            place.mkdir(parents=True, exist_ok=True)
            if "projected" in volume:
                self._project(volume["projected"]["sources"], volume["projected"]["defaultMode"], place)
            elif "secret" in volume:
                source = {"secret": {"name": volume["secret"]["secretName"]}}
                self._project([source], volume["secret"]["defaultMode"], place)
            elif "configMap" in volume:
                self._project([{"configMap": {"name": volume["configMap"]["name"]}}], 0o644, place)

    def _project(self, sources: list[Document], mode: int, place: Path) -> None:
        """All files of a volume become others at a time, by a link that is turned."""
        files: dict[str, bytes] = {}
        for source in sources:
            kind, reference = (CONFIG_MAP, source["configMap"]) if "configMap" in source else (SECRET, source["secret"])
            found = self._api.get(kind, self._namespace, reference["name"]) or {}
            for key, value in (found.get("data") or {}).items():
                files[key] = base64.b64decode(value) if kind is SECRET else self._translated(value).encode()
        if self._written.get(str(place)) == files:
            return
        self._turns += 1
        folder = place / f"..{self._turns}"
        folder.mkdir()
        for key, value in files.items():
            (folder / key).write_bytes(value)
            (folder / key).chmod(mode)
        link = place / "..data_tmp"
        link.symlink_to(folder.name)
        before = (place / "..data").resolve() if (place / "..data").exists() else None
        link.rename(place / "..data")
        for key in files:
            if not (place / key).is_symlink():
                (place / key).symlink_to(f"..data/{key}")
        for name in os.listdir(place):
            if not name.startswith("..") and name not in files:
                (place / name).unlink()
        if before is not None:
            shutil.rmtree(before)
        self._written[str(place)] = files

    def _translated(self, text: str) -> str:
        for path in ("/etc/leafgate", "/var/lib/leafgate", "/run/leafgate"):
            text = text.replace(f'"{path}', f'"{self._folder}{path}')
        clients = self._address(self._name) or "127.0.0.1"
        watched = self._address(f"{self._name}-monitoring") or clients
        return text.replace(f"0.0.0.0:{MONITORING_PORT}", f"{watched}:{MONITORING_PORT}").replace(
            "0.0.0.0:", f"{clients}:"
        )

    def _address(self, service: str) -> str:
        found = self._api.get(SERVICE, self._namespace, service)
        return str(found["spec"]["clusterIP"]) if found else ""
