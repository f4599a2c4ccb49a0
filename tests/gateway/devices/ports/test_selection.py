"""Which ports a configured `port` means: a path, a link by id, a glob, or the ids of a USB adapter."""

from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from gateway.devices.ports import selection
from gateway.devices.ports.selection import adapter_identity, is_network, matching_ports


def adapter(device: str, vid: int, pid: int, serial: str) -> ListPortInfo:
    info = ListPortInfo(device, skip_link_detection=True)
    info.vid, info.pid, info.serial_number = vid, pid, serial
    return info


@pytest.fixture
def adapters(monkeypatch):
    """What pyserial would find in /sys with these plugged in."""
    plugged = [
        adapter("/dev/ttyUSB1", 0x10C4, 0xEA60, "0002"),
        adapter("/dev/ttyUSB0", 0x10C4, 0xEA60, "0001"),
        adapter("/dev/ttyACM0", 0x303A, 0x1001, "AB:CD"),
        ListPortInfo("/dev/ttyS0", skip_link_detection=True),
    ]
    monkeypatch.setattr(selection.list_ports, "comports", lambda: plugged)


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ("10c4:ea60", ["/dev/ttyUSB0", "/dev/ttyUSB1"]),
        ("10C4:EA60:0002", ["/dev/ttyUSB1"]),
        ("303a:1001:AB:CD", ["/dev/ttyACM0"]),
        ("10c4:ea60:0003", []),
        ("1a86:7523", []),
    ],
)
def test_ids_of_an_adapter_find_it_wherever_it_is_plugged_in(adapters, port, found):
    assert matching_ports(port) == found


def test_adapter_with_a_number_of_its_own_is_known_by_it(adapters):
    assert adapter_identity("/dev/ttyUSB0") == "10c4:ea60:0001:"
    assert adapter_identity("/dev/ttyUSB1") != adapter_identity("/dev/ttyUSB0")
    assert adapter_identity("/dev/ttyS0") is None
    assert adapter_identity("/dev/ttyUSB7") is None


def test_adapter_is_known_by_a_link_to_it(adapters, tmp_path: Path):
    (tmp_path / "by-id").symlink_to("/dev/ttyACM0")
    assert adapter_identity(str(tmp_path / "by-id")) == adapter_identity("/dev/ttyACM0") == "303a:1001:AB:CD:"


def test_interfaces_of_one_adapter_are_told_apart(adapters, monkeypatch):
    one, other = adapter("/dev/ttyUSB0", 0x0403, 0x6010, "A"), adapter("/dev/ttyUSB1", 0x0403, 0x6010, "A")
    one.location, other.location = "1-1:1.0", "1-1:1.1"
    monkeypatch.setattr(selection.list_ports, "comports", lambda: [one, other])
    assert adapter_identity("/dev/ttyUSB0") != adapter_identity("/dev/ttyUSB1")


def test_path_is_there_or_not(tmp_path: Path):
    port = tmp_path / "ttyUSB0"
    assert matching_ports(str(port)) == []
    port.touch()
    assert matching_ports(str(port)) == [str(port)]


def test_link_by_id_is_there_only_with_what_it_leads_to(tmp_path: Path):
    by_id = tmp_path / "usb-Silicon_Labs_CP2102_0001-if00-port0"
    by_id.symlink_to(tmp_path / "ttyUSB0")
    assert matching_ports(str(by_id)) == []
    (tmp_path / "ttyUSB0").touch()
    assert matching_ports(str(by_id)) == [str(by_id)]


def test_glob_finds_all_that_fit_in_order(tmp_path: Path):
    for name in ("ttyUSB1", "ttyUSB0", "ttyACM0"):
        (tmp_path / name).touch()
    assert matching_ports(f"{tmp_path}/ttyUSB*") == [f"{tmp_path}/ttyUSB0", f"{tmp_path}/ttyUSB1"]


@pytest.mark.parametrize("port", ["socket://10.0.0.7:4001", "rfc2217://box:2217"])
def test_ports_of_other_machines_are_told_apart(port):
    assert is_network(port)
    assert not is_network("/dev/serial/by-id/socket")
