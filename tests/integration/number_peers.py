"""Databases of time series, for the integration tests: Prometheus with its receiver, InfluxDB 1, VictoriaMetrics."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.integration.peers import PROMETHEUS, Peer, free_port, require_peer, running
from tests.patience import PATIENCE_SECONDS

INFLUXD, VICTORIA = "influxd", "victoria-metrics"


@contextmanager
def prometheus(directory: Path, *more: str) -> Iterator[Peer]:
    """One that takes remote write; what it has is in its directory, also behind a restart. `more` are arguments."""
    program = require_peer(PROMETHEUS)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "prometheus.yml"
    file.write_text("")
    port = free_port()
    arguments = [
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        *more,
    ]
    with _running(Peer(PROMETHEUS, directory, [program, *arguments], {"http": port}), "/-/ready") as peer:
        yield peer


@contextmanager
def influxdb(directory: Path, *, users: bool = False) -> Iterator[Peer]:
    """InfluxDB 1.6 with a database `site`; with `users` that is for the user `admin`, password `secret`."""
    program = require_peer(INFLUXD)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "influxdb.conf"
    port = free_port()
    file.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
        f'[meta]\ndir = "{directory}/meta"\n[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nauth-enabled = {str(users).lower()}\n'
        "[monitor]\nstore-enabled = false\n"
    )
    peer = Peer(INFLUXD, directory, [program, "-config", str(file)], {"http": port})
    with _running(peer, "/ping") as peer:
        if users:
            influx_query(peer, "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES", "", "")
        influx_query(peer, "CREATE DATABASE site")
        yield peer


@contextmanager
def victoria_metrics(directory: Path) -> Iterator[Peer]:
    program = require_peer(VICTORIA)
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    arguments = [f"-storageDataPath={directory / 'data'}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    with _running(Peer(VICTORIA, directory, [program, *arguments], {"http": port}), "/health") as peer:
        yield peer


@contextmanager
def _running(peer: Peer, path: str) -> Iterator[Peer]:
    peer.start()
    with running(peer):
        ready(peer, path)
        yield peer


def ready(peer: Peer, path: str = "/-/ready") -> None:
    """Return once it answers."""

    def answers() -> bool:
        try:
            return 200 <= get_status(f"http://127.0.0.1:{peer.ports['http']}{path}") < 300
        except OSError:
            return False

    peer.wait_ready(answers)


def get_status(url: str) -> int:
    try:
        with urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def samples(peer: Peer, query: str) -> dict[frozenset[tuple[str, str]], list[tuple[float, float]]]:
    """What a range selector finds, by labels: times and values."""
    return {frozenset(labels.items()): found for labels, found in series(peer, query)}


def series(peer: Peer, query: str) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    url = f"http://127.0.0.1:{peer.ports['http']}/api/v1/query?{urlencode({'query': query})}"
    with urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        found = json.load(answer)["data"]["result"]
    return [(one["metric"], [(time, float(value)) for time, value in one["values"]]) for one in found]


def count(peer: Peer, metric: str) -> int:
    """How many samples of a metric there are."""
    return sum(len(found) for _, found in series(peer, f"{metric}[1d]"))


def influx_query(peer: Peer, query: str, user: str = "admin", password: str = "secret") -> Any:
    login = {"u": user, "p": password} if user else {}
    url = f"http://127.0.0.1:{peer.ports['http']}/query?{urlencode({'db': 'site', 'epoch': 'ns', **login})}"
    request = Request(url, data=urlencode({"q": query}).encode(), method="POST")
    with urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)["results"][0]


def influx_rows(peer: Peer, query: str) -> list[dict[str, Any]]:
    """Rows of a SELECT, with their tags."""
    return [
        dict(zip(one["columns"], values, strict=True)) | one.get("tags", {})
        for one in influx_query(peer, query).get("series", [])
        for values in one["values"]
    ]
