"""The keys of `[[serial]]`: serial ports with devices behind them."""

import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from gateway.settings.addresses import split_address
from gateway.settings.checks import check_template
from gateway.settings.file import KeyedValueError
from gateway.settings.units import KIB, MIB, Grace
from protocols.foreign_text import is_legal_literal
from protocols.subject_template import SubjectTemplate

Baud = Annotated[int, Meta(ge=50, le=12_000_000)]


class Serial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A serial port with a device behind it; a glob or the ids of a USB adapter may mean several."""

    port: Annotated[str, Meta(min_length=1)]
    protocol: Literal["link", "lines"] = "link"
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=64)] = ""
    user: str = ""
    subject: str = "devices.{{name}}"
    baud: Baud = 115_200
    auto_baud: bool = False
    upgrade_baud: Annotated[int, Meta(ge=0, le=12_000_000)] = 0
    pattern: str = r"(?P<subject>[^=\s]+)=(?P<payload>.*)"
    queue_bytes: Annotated[int, Meta(ge=4 * KIB, le=64 * MIB)] = 256 * KIB
    resume_seconds: Grace = 60.0

    def __post_init__(self) -> None:
        check_template("subject", self.subject, "name")
        if not is_legal_literal(SubjectTemplate(self.subject, "name").make("name").encode()):
            raise KeyedValueError("subject", f"{self.subject!r} is no subject; write it as devices.{{{{name}}}}")
        from gateway.settings.line_pattern import longest_line  # Not for every command that reads a file.

        try:
            longest_line(self.pattern)
        except ValueError as error:
            raise KeyedValueError("pattern", str(error)) from None
        groups = re.compile(self.pattern.encode()).groupindex
        if not {"subject", "payload"} <= groups.keys():
            raise KeyedValueError("pattern", "needs the groups (?P<subject>...) and (?P<payload>...)")
        network = urlsplit(self.port) if "://" in self.port else None
        if network is not None:
            self._check_url(network)

    def _check_url(self, url: SplitResult) -> None:
        try:
            _, port = split_address(url.netloc)
        except ValueError as error:
            raise KeyedValueError("port", str(error)) from None
        if url.scheme not in ("socket", "rfc2217") or not port:
            raise KeyedValueError("port", "a networked port is written as socket://host:port or rfc2217://host:port")
        if url.scheme == "socket" and (self.auto_baud or self.upgrade_baud):
            key = "auto-baud" if self.auto_baud else "upgrade-baud"
            raise KeyedValueError(key, "a socket:// port has no rate that could be changed; use rfc2217://")
