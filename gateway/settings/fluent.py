"""The keys of the forward protocol of Fluentd and Fluent Bit: of listeners that take events."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret
from protocols.foreign_text import is_legal_literal
from protocols.subject_template import SubjectTemplate

KIB, MIB = 1024, 1024 * 1024
LONGEST_KEY = 1024


class FluentEntrance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How a listener for events takes them. `shared_key` is asked of those who come. An event goes to the subject that
    `subject` makes of its tag; its record is the payload, as JSON, with its time in `time_field` where that is named,
    or else the text of `payload_field` alone. `max_chunk_bytes` is for what comes, and for what is in it uncompressed.
    """

    shared_key: Secret | None = None
    hostname: Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=255)] = ""
    subject: str = "{tag}"
    time_field: str = ""
    payload_field: str = ""
    max_chunk_bytes: Annotated[int, Meta(ge=4 * KIB, le=256 * MIB)] = 16 * MIB

    def __post_init__(self) -> None:
        check_template("subject", self.subject, "tag")
        if not is_legal_literal(SubjectTemplate(self.subject, "tag").make("a.a.a.a.a.a.a.a").encode()):
            raise KeyedValueError("subject", f"{self.subject!r} makes no subjects; write it as logs.{{tag}}")
        if self.shared_key is not None:
            check_shared_key(self.shared_key)
        if self.time_field and self.payload_field:
            raise KeyedValueError("time-field", "there is no record to put it in: payload-field is all that is taken")


def check_template(key: str, text: str, name: str = "subject", others: tuple[str, ...] = ()) -> None:
    """Raises KeyedValueError for what is no template."""
    try:
        SubjectTemplate(text, name, others)
    except ValueError as error:
        raise KeyedValueError(key, str(error)) from None


def check_shared_key(key: Secret) -> None:
    if not key.value or len(key.value) > LONGEST_KEY:
        raise KeyedValueError("shared-key", "it is empty, or too long")
