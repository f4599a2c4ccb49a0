"""Two boards of one name on serial lines: both are served, neither ends the other's session, and the log says so."""

from pathlib import Path

from tests.integration.peers import gateway
from tests.integration.serial_line import micropython, serial_line, serial_table
from tests.integration.test_serial_link import BAUD, ask, listening, numbers, play


def test_twin_does_not_end_the_session_of_the_one_that_is_away(tmp_path: Path):
    with (
        serial_line(tmp_path / "1") as first,
        serial_line(tmp_path / "2") as second,
        gateway(tmp_path / "edge", config=serial_table(tmp_path / "*" / "usb-node", baud=BAUD)) as edge,
        micropython("serial_node.py", first.device.path, BAUD),
    ):
        edge.wait_for_log("event=device-up name=node-1")

        async def count_on() -> None:
            async with listening(edge, "count") as listener:
                await listener.until(lambda heard: len(heard.get("count", ())) >= 100)

        play(count_on)
        first.pull_out()
        edge.wait_for_log("event=fault")
        with micropython("serial_node.py", second.device.path, BAUD):
            edge.wait_for_log("event=device-up name=node-1", count=2)
            edge.wait_for_log(f"port={second.name} event=twin name=node-1 other=away")
        first.plug_in()
        edge.wait_for_log(f"port={first.name} event=device-back name=node-1")

        async def count_more() -> None:
            async with listening(edge, "count") as listener:
                await listener.until(lambda heard: len(heard.get("count", ())) >= 100)
            counted = numbers(listener.heard["count"])
            assert counted[0] >= 100
            assert counted == list(range(counted[0], counted[0] + len(counted)))

        play(count_more)


def test_twins_are_both_served_and_warned_of(tmp_path: Path):
    with (
        serial_line(tmp_path / "1") as first,
        serial_line(tmp_path / "2") as second,
        gateway(tmp_path / "edge", config=serial_table(tmp_path / "*" / "usb-node", baud=BAUD)) as edge,
        micropython("serial_node.py", first.device.path, BAUD),
    ):
        edge.wait_for_log("event=device-up name=node-1")
        assert "event=twin" not in edge.log()
        with micropython("serial_node.py", second.device.path, BAUD):
            edge.wait_for_log(f"port={second.name} event=twin name=node-1 other={first.name}")

            async def story() -> None:
                async with listening(edge) as listener:
                    assert await ask(listener, b"1") == b"answer to 1"

            play(story)


def test_device_that_restarts_on_a_line_that_stays_leaves_no_session_behind(tmp_path: Path):
    with (
        serial_line(tmp_path / "line") as line,
        gateway(tmp_path / "edge", config=serial_table(line.name, baud=BAUD)) as edge,
    ):
        with micropython("serial_node.py", line.device.path, BAUD):
            edge.wait_for_log("event=device-up")
        edge.wait_for_log("event=silent")
        with micropython("serial_node.py", line.device.path, BAUD):
            edge.wait_for_log("detail='the device began anew'")
            edge.wait_for_log("event=device-up", count=2)
        assert "event=twin" not in edge.log()
