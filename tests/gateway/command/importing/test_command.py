"""`leafgate import` as a person types it."""

from pathlib import Path

import pytest

from gateway.command.command_line import main
from gateway.settings.schema import load_config


def test_output_is_a_file_that_only_its_owner_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "nats.conf").write_text('listen: 127.0.0.1:1\nauthorization { token: "t0ken" }\ncluster { name: c }\n')
    output = tmp_path / "leafgate.toml"
    assert main(["import", str(tmp_path / "nats.conf"), "-o", str(output)]) == 0
    assert output.stat().st_mode & 0o777 == 0o600
    assert load_config(output).authentication.token is not None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "leafgate: cluster: has no counterpart\n")


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "nats.conf").write_text("listen: 127.0.0.1:1\n")
    output = tmp_path / "leafgate.toml"
    output.write_text("mine")
    assert main(["import", str(tmp_path / "nats.conf"), "-o", str(output)]) == 2
    assert output.read_text() == "mine"
    assert capsys.readouterr().err == f"leafgate: {output}: is there already\n"


def test_whose_it_is_may_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "broker.conf").write_text("listener 1883 127.0.0.1\n")
    assert main(["import", "--from", "mosquitto", str(tmp_path / "broker.conf")]) == 0
    assert 'protocol = "mqtt"' in capsys.readouterr().out


def test_result_that_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "nats.conf").write_text("listen: 127.0.0.1:1\nmax_payload: 5GB\n")
    assert main(["import", str(tmp_path / "nats.conf")]) == 1
    assert "to be mended by hand: limits.max-payload-bytes: " in capsys.readouterr().err
