"""The tiny profile of the serial link: on a micro:bit whose UART loses bytes, and on a line with bit errors."""

from pathlib import Path

from tests.integration.microbit import microbit
from tests.integration.peers import Peer, gateway
from tests.integration.serial_line import LIBRARY, PROGRAMS, micropython, serial_line, serial_table
from tests.integration.test_serial_link import Listener, ask, listening, numbers, play

TINY = LIBRARY / "leafgate" / "serial_tiny.py"
ECHOES = 60
# A byte of each kind: text, what the link escapes, what a console acts on.
PAYLOAD = b"\x00\x03\r\n\xc0\xc1 " + bytes(range(0xF0, 0x100))


async def exchange(edge: Peer, listener: Listener) -> list[int]:
    """All that the device does, with two naps; how many frames it found damaged, and how many it repeated."""
    assert await ask(listener, b"1") == b"answer to 1"
    sent = [b"%d " % number + PAYLOAD for number in range(ECHOES)]
    for number, data in enumerate(sent):
        if number in (10, 40):
            await listener.client.publish("nap")
        await listener.client.publish("echo", data)
    for number in range(5):
        assert await ask(listener, b"%d" % number) == b"answer to %d" % number
    await listener.until(lambda heard: len(heard.get("echoed", ())) >= ECHOES and len(heard["count"]) >= ECHOES)
    await listener.client.publish("stop")
    await listener.until(lambda heard: heard.get("told"))
    assert listener.heard["echoed"] == sent
    counted = numbers(listener.heard["count"])
    # The subscriber was not there for the first ones.
    assert counted == list(range(counted[0], counted[0] + len(counted)))
    return [int(word) for word in listener.heard["told"][0].split()]


def test_microbit_loses_no_message_to_a_uart_that_drops_bytes(tmp_path: Path):
    with microbit() as board:
        board.load(TINY, PROGRAMS / "tiny_node.py")
        board.paste("from microbit import uart\nclient = Client(uart, 'micro:bit')")
        board.enter("run()")
        board.detach()
        config = serial_table(f"socket://127.0.0.1:{board.port}")
        with gateway(tmp_path / "edge", config=config) as edge:

            async def story() -> None:
                async with listening(edge, "count", "echoed", "told") as listener:
                    assert sum(await exchange(edge, listener))

            play(story)


def test_tiny_profile_loses_no_message_to_bit_errors(tmp_path: Path):
    with (
        serial_line(tmp_path / "line", bit_errors=2e-4) as line,
        gateway(tmp_path / "edge", config=serial_table(line.name)) as edge,
    ):

        async def story() -> None:
            async with listening(edge, "count", "echoed", "told") as listener:
                with micropython("tiny_tty.py", line.device.path):
                    damaged, resent = await exchange(edge, listener)
                    assert damaged
                    assert resent

        play(story)
