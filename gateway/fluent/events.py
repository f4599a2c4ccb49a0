"""Events as messages: which subject one goes to, and what its payload is."""

from protocols.fluent.chunk import Event
from protocols.fluent.scanning import NotMessagePackError
from protocols.fluent.values import DEEPEST, SECOND, plain, to_json
from protocols.foreign_text import make_subject
from protocols.message import Message, make_message
from protocols.subject_template import SubjectTemplate
from protocols.subjects import RESERVED_SUBJECTS

NO_SUBJECT = "the tag makes no subject"
RESERVED = "the tag makes a subject that begins with $, or is the servers' own"
TOO_DEEP = "the record is deeper than anybody writes one"
TOO_LARGE = "the record is longer than limits.max-payload-bytes"
NO_TEXT = "the record has no such field as payload-field"


class Shaping:
    """How a listener makes messages of events. `fault` is why the last tag had no subject, or ""."""

    __slots__ = ("_payload_field", "_subject", "_time_field", "fault")

    def __init__(self, subject: str, time_field: str, payload_field: str) -> None:
        self._subject = SubjectTemplate(subject, "tag")
        self._time_field = time_field
        self._payload_field = payload_field
        self.fault = ""

    def subject_of(self, tag: bytes) -> bytes:
        subject = make_subject(self._subject.make(make_subject(tag).decode()).encode())
        self.fault = "" if subject else NO_SUBJECT
        if subject.startswith((b"$", *RESERVED_SUBJECTS)):
            self.fault = RESERVED
        return b"" if self.fault else subject

    def message_of(self, subject: bytes, event: Event, most: int) -> Message | str:
        """The message, or why there is none."""
        try:
            payload = self._payload_of(event)
        except NotMessagePackError:
            return TOO_DEEP
        if payload is None:
            return NO_TEXT
        return make_message(subject, payload) if len(payload) <= most else TOO_LARGE

    def _payload_of(self, event: Event) -> bytes | None:
        record = event.record
        if self._payload_field:
            value = record.get(self._payload_field)
            if isinstance(value, bytes):
                return value
            if isinstance(value, str):
                return value.encode()
            return None if value is None else to_json(value)
        if not self._time_field or event.time_ns is None:
            return to_json(record)
        found = plain(record, DEEPEST)
        assert isinstance(found, dict)
        found.setdefault(self._time_field, event.time_ns / SECOND)
        return to_json(found)
