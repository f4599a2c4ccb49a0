"""`leafgate backup` and `restore`: a data directory, copied while the gateway runs, brought back while none does."""

import argparse
from pathlib import Path

from gateway.command.message_text import tell
from gateway.command.progress_bar import ProgressBar
from gateway.command.status import size_text
from gateway.errors import ConfigError
from gateway.settings.schema import load_config
from gateway.storage.backup import back_up, restore
from gateway.version import VERSION


def run_backup(options: argparse.Namespace, config: Path) -> int:
    """Raises GatewayError."""
    copied = back_up(data_directory(config), options.target, VERSION, ProgressBar("copying"))
    for one in copied:
        tell(f"{one.name}: {size_text(one.bytes)}, schema {one.schema}")
    return 0


def run_restore(options: argparse.Namespace, config: Path) -> int:
    """Raises GatewayError."""
    directory = data_directory(config)
    for one in restore(options.source, directory, options.force, ProgressBar("bringing back")):
        tell(f"{one.name}: {size_text(one.bytes)} in {directory}")
    return 0


def data_directory(config: Path) -> Path:
    """Of the gateway with that configuration. Raises ConfigError."""
    named = load_config(config).data_directory
    if not named:
        raise ConfigError(f"{config}: data-directory: there is none; nothing is kept on a disk")
    return Path(named).expanduser()
