"""FrameError: how readers of frames tell their decoder that a frame is bad. It is raised nowhere else."""

from protocols.errors import ProtocolError
from protocols.websocket.close_codes import CloseCode


class FrameError(ProtocolError):
    """`code` is what the close frame says of it. To the codec it is the decoder's last event."""

    def __init__(self, code: CloseCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
