"""BrowserLogin: who a browser says it is, by the cookies of its WebSocket."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLogin:
    """What is absent is empty."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
