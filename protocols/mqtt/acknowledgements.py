"""Acknowledgements of QoS 1 and 2 in their short form: reading and writing runs of them (hot).

The long form, which MQTT 5.0 has for failures and properties, is read by parsers.py and written by encoder.py.
"""

from protocols.errors import MisuseError
from protocols.mqtt.packets import Puback, Pubcomp, Pubrec, Pubrel

# By the whole first byte of the packet.
PUBACK = 0x40
PUBREC = 0x50
PUBREL = 0x62
PUBCOMP = 0x70

# First byte, remaining length 2, packet identifier.
SHORT_FORM_SIZE = 4
# Acknowledgements of one run.
LONGEST_RUN = 1024

ACKNOWLEDGEMENTS = {PUBACK: Puback, PUBREC: Pubrec, PUBREL: Pubrel, PUBCOMP: Pubcomp}


class AckRun:
    """Acknowledgements in a row, all of one kind (such as `PUBACK`) and of success; at least two.

    `packet_ids` stand in the order in which they came; none is 0, but one may come twice.
    """

    __slots__ = ("kind", "packet_ids")

    def __init__(self, kind: int, packet_ids: list[int]) -> None:
        self.kind = kind
        self.packet_ids = packet_ids

    def packets(self) -> list[object]:
        """The events that the acknowledgements make one by one."""
        packet = ACKNOWLEDGEMENTS[self.kind]
        return [packet(packet_id) for packet_id in self.packet_ids]


def read_acknowledgements(data: bytes, position: int, in_runs: bool, events: list[object]) -> int:
    """Append the short acknowledgements from `position` on that are of the kind of the first; returns where they end.

    They end before an incomplete packet, before one with a packet identifier of 0, and where the run is long. Two or
    more make one AckRun if `in_runs`.
    """
    end = min(len(data), position + LONGEST_RUN * SHORT_FORM_SIZE)
    kind = data[position]
    packet_ids: list[int] = []
    while position + 4 <= end and data[position] == kind and data[position + 1] == 2:
        packet_id = data[position + 2] << 8 | data[position + 3]
        if packet_id == 0:
            break
        packet_ids.append(packet_id)
        position += 4
    if in_runs and len(packet_ids) > 1:
        events.append(AckRun(kind, packet_ids))
    elif packet_ids:
        packet = ACKNOWLEDGEMENTS[kind]
        events.extend([packet(packet_id) for packet_id in packet_ids])
    return position


def encode_acknowledgements(kind: int, packet_ids: list[int]) -> bytes:
    """Acknowledgements of success, one for each identifier. Raises MisuseError for an identifier out of 1 to 65,535."""
    packets = bytearray(SHORT_FORM_SIZE * len(packet_ids))
    position = 0
    for packet_id in packet_ids:
        if not 0 < packet_id <= 0xFFFF:
            raise MisuseError(f"{packet_id} is no packet identifier")
        packets[position] = kind
        packets[position + 1] = 2
        packets[position + 2] = packet_id >> 8
        packets[position + 3] = packet_id & 0xFF
        position += 4
    return bytes(packets)
