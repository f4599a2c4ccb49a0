"""What the gateway says when it cannot do what it was asked to. The text of each is one line, for a person."""


class GatewayError(Exception):
    """Base of every expected error of `gateway`: the command line prints its text and no traceback."""


class ConfigError(GatewayError):
    """The configuration cannot be used. The text reads `file: path.to.key: sentence`."""


class ListenError(GatewayError):
    """An address cannot be listened on. The text: `path.to.key: sentence`; the command line adds the file's name."""


class StorageError(GatewayError):
    """The data directory cannot be used. The text: `data-directory: sentence`."""


class DirectoryError(StorageError):
    """It cannot be used now: it is locked, or not there yet."""


class ClientError(GatewayError):
    """A command of the small NATS client failed: no server, refused, no answer in time."""


class OutputError(GatewayError):
    """Standard output cannot be written. The text: `standard output: sentence`."""


class ControlError(GatewayError):
    """The running gateway cannot be asked; `is_missing` says whether that is because none is there."""

    def __init__(self, text: str, is_missing: bool = False) -> None:
        super().__init__(text)
        self.is_missing = is_missing
