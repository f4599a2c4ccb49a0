"""The chips that MicroPython runs on and esptool can write to: what tells them apart, and where their firmware goes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """`image_id` stands in the header of every image; a bootloader begins at `bootloader_offset` of the flash."""

    name: str
    image_id: int
    bootloader_offset: int


CHIPS = (
    Chip("ESP32", 0, 0x1000),
    Chip("ESP32-S2", 2, 0x1000),
    Chip("ESP32-C3", 5, 0),
    Chip("ESP32-S3", 9, 0),
    Chip("ESP32-C2", 12, 0),
    Chip("ESP32-C6", 13, 0),
    Chip("ESP32-H2", 16, 0),
    Chip("ESP32-P4", 18, 0x2000),
    Chip("ESP32-C5", 23, 0x2000),
)
BY_IMAGE_ID = {chip.image_id: chip for chip in CHIPS}
BY_NAME = {chip.name: chip for chip in CHIPS}
