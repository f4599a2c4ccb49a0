"""What `leafgate device …` takes, and that a daemon or a `pub` never loads the tools for boards."""

import os
import subprocess
import sys

import pytest

from gateway.command.command_line import build_parser
from tests.integration.peers import python_path


def test_each_command_is_understood():
    parse = build_parser().parse_args
    flash = parse(["device", "flash", "--gateway", "nats://192.0.2.1"])
    assert (flash.action, flash.identity, flash.baud, flash.prefix) == ("flash", "nkey", 460_800, "devices")
    assert flash.restart_after == 3600
    assert parse(["device", "flash", "--gateway", "nats://192.0.2.1", "--restart-after", "0"]).restart_after == 0
    assert parse(["device", "list"]).action == "list"
    assert parse(["device", "logs"]).name == "*"
    assert parse(["device", "console"]).port is None
    assert parse(["device", "push", "x.py"]).name is None
    assert parse(["device", "update", "pump"]).name == "pump"


@pytest.mark.parametrize(
    "arguments",
    [
        ["flash"],
        ["update"],
        ["push"],
        ["list", "--wait", "0"],
        ["list", "--wait", "nan"],
        ["flash", "--gateway", "nats://x", "--baud", "12"],
        ["flash", "--gateway", "nats://x", "--baud", "fast"],
        ["flash", "--gateway", "nats://x", "--identity", "card"],
        ["flash", "--gateway", "nats://x", "--restart-after", "-1"],
    ],
)
def test_wrong_use_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["device", *arguments])
    assert ended.value.code == 2
    assert f"usage: leafgate device {arguments[0]}" in capsys.readouterr().err


def test_other_commands_load_no_tool_for_boards():
    code = (
        "import sys; from gateway.command import command_line; command_line.build_parser();"
        " print([m for m in sys.modules if m[:8] == 'firmware'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": python_path()},
        check=True,
    )
    assert done.stdout == "[]\n"
