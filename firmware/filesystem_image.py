"""A LittleFS image for a board's file system, block by block as its flash will hold it."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from firmware.errors import DeviceError
from firmware.partition_table import SECTOR_SIZE

# 2.0 is read by every MicroPython since 1.12; newer ones upgrade it.
DISK_VERSION = 0x0002_0000
# As MicroPython mounts it. Files up to the cache's size lie inside their directory, and littlefs reads those into one
# cache: an image made with a larger one would overrun the board's memory.
READ_SIZE = PROG_SIZE = LOOKAHEAD_SIZE = 32
CACHE_SIZE = 4 * READ_SIZE
# An update needs the new files beside the old ones, and littlefs some room to breathe.
SPARE_BLOCKS = 8


def has_room_for_update(files: Mapping[str, bytes], size: int) -> bool:
    """Whether all files could lie in a file system twice, as they do in the middle of an update of everything."""
    blocks = sum(max(1, -(-len(data) // SECTOR_SIZE)) for data in files.values())
    return 2 * blocks + SPARE_BLOCKS <= size // SECTOR_SIZE


def build_image(files: Mapping[str, bytes], size: int) -> bytes:
    """An image of exactly `size` bytes with `files`, by absolute path. Raises DeviceError when they do not fit."""
    try:
        from littlefs import LittleFS, LittleFSError
    except ImportError:
        raise DeviceError(
            "flashing needs littlefs-python; run pip install '.[flash]' in a checkout of leafgate"
        ) from None

    blocks = size // SECTOR_SIZE
    wanted = sum(len(data) for data in files.values())
    full = f"{wanted} bytes of files do not fit into a file system of {size // 1024} KiB"
    if blocks < SPARE_BLOCKS:
        raise DeviceError(f"{full}; use a board with more flash or a firmware with a smaller partition table")
    filesystem = LittleFS(
        block_size=SECTOR_SIZE,
        block_count=blocks,
        read_size=READ_SIZE,
        prog_size=PROG_SIZE,
        cache_size=CACHE_SIZE,
        lookahead_size=LOOKAHEAD_SIZE,
        disk_version=DISK_VERSION,
    )
    try:
        for path, data in sorted(files.items()):
            for folder in reversed(PurePosixPath(path).parents[:-1]):
                filesystem.makedirs(str(folder), exist_ok=True)
            with filesystem.open(path, "wb") as file:
                file.write(data)
    except LittleFSError:
        raise DeviceError(f"{full}; leave out files, or use a board with more flash") from None
    return bytes(filesystem.context.buffer)
