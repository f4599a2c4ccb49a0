"""RFC 2217 without its socket: what is data, what is negotiation, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.ports.rfc2217 import (
    COM_PORT,
    DO,
    DONT,
    IAC,
    SB,
    SE,
    SET_BAUDRATE,
    WILL,
    WONT,
    TelnetPort,
    escape,
)

ECHO = 1


def opened() -> TelnetPort:
    port = TelnetPort()
    port.to_send.clear()
    return port


@given(st.binary(), st.data())
def test_data_comes_out_as_it_went_in(data, draw):
    wire = escape(data)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(wire)))))
    port = opened()
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert b"".join(map(port.receive, pieces)) == data
    assert port.to_send == b""


def test_options_are_asked_for_once_and_answers_are_not_answered():
    port = TelnetPort()
    asked = bytes(port.to_send)
    assert bytes((IAC, WILL, COM_PORT)) in asked
    port.to_send.clear()
    assert port.receive(bytes((IAC, DO, COM_PORT)) * 2) == b""
    assert port.to_send == b""


def test_option_that_we_do_not_know_is_refused_once():
    port = opened()
    port.receive(bytes((IAC, WILL, ECHO, IAC, DO, ECHO)) * 3)
    assert port.to_send == bytes((IAC, DONT, ECHO, IAC, WONT, ECHO))


def test_server_without_the_option_is_noticed():
    port = opened()
    port.receive(bytes((IAC, DONT, COM_PORT)))
    assert port.refused


def test_answers_to_settings_are_no_data():
    port = opened()
    answer = bytes((IAC, SB, COM_PORT, 100 + SET_BAUDRATE)) + escape(b"\x00\x0e\x10\xff") + bytes((IAC, SE))
    assert port.receive(b"a" + answer + b"b") == b"ab"


def test_setting_without_an_end_does_not_take_memory():
    port = opened()
    port.receive(bytes((IAC, SB)) + bytes(100_000))
    assert port._command is None


def test_rate_with_a_255_in_it_is_escaped():
    assert TelnetPort().set_baud(255) == bytes((IAC, SB, COM_PORT, SET_BAUDRATE, 0, 0, 0, 255, 255, IAC, SE))


@given(st.binary())
def test_any_bytes_are_taken(data):
    port = opened()
    port.receive(data)
    assert len(port.to_send) <= 3 * (len(data) + 1)
