"""From a blank board to one that starts: check everything first, then write firmware and file system in one go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware.errors import DeviceError
from firmware.esptool_program import Board, Esptool
from firmware.filesystem_image import build_image
from firmware.firmware_file import FirmwareFile
from firmware.partition_table import (
    TABLE_OFFSET,
    TABLE_SIZE,
    Partition,
    PartitionTableError,
    Region,
    filesystem_region,
    needed_flash,
    parse_table,
)


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """A board, what goes onto it, and where its files go. Without `firmware` it keeps the one it has."""

    board: Board
    firmware: FirmwareFile | None
    filesystem: Region


def plan_flash(tool: Esptool, firmware: FirmwareFile | None, directory: Path) -> FlashPlan:
    """Ask the board who it is and check the firmware against it. `directory` is for passing files to esptool.

    Raises DeviceError; nothing has been written then.
    """
    board = tool.probe()
    if firmware is None:
        partitions = _table_on_board(tool, directory)
    else:
        if firmware.chip.name != board.chip:
            raise DeviceError(
                f"wrong firmware: {firmware.path.name} is for {firmware.chip.name}, the board is {board.chip}; "
                f"take the file for {board.chip} from micropython.org/download"
            )
        partitions = firmware.partitions
    needed = needed_flash(partitions)
    if needed > board.flash_size:
        raise DeviceError(
            f"no space: the firmware wants {_megabytes(needed)} of flash, the board has "
            f"{_megabytes(board.flash_size)}; take a firmware for smaller boards"
        )
    region = filesystem_region(partitions, board.flash_size)
    if region is None:
        raise DeviceError(
            f"no space: the firmware leaves nothing of {_megabytes(board.flash_size)} of flash for files; "
            "take a firmware for smaller boards"
        )
    return FlashPlan(board, firmware, region)


def write_flash(
    tool: Esptool, plan: FlashPlan, files: Mapping[str, bytes], directory: Path, progress: Callable[[float], None]
) -> None:
    """Write firmware and files, verify both, restart the board. `progress` gets a number from 0 to 1."""
    image = directory / "filesystem.bin"
    # It holds keys and passwords: for its owner only, and gone with the directory.
    image.touch(0o600)
    image.write_bytes(build_image(files, plan.filesystem.size))
    parts = [(plan.filesystem.offset, image)]
    if plan.firmware is not None:
        parts.insert(0, (plan.firmware.chip.bootloader_offset, plan.firmware.path))
    tool.write(parts, progress)


def _table_on_board(tool: Esptool, directory: Path) -> tuple[Partition, ...]:
    try:
        return parse_table(tool.read(TABLE_OFFSET, TABLE_SIZE, directory / "partition-table.bin"))
    except PartitionTableError as error:
        raise DeviceError(
            f"the board has no firmware (its partition table {error}); name one with --firmware"
        ) from None


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.4g} MB"
