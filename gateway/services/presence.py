"""Presence: what the gateway tells, retained, on a subject that stands for a peer: that it is there, or is not."""

import msgspec

from gateway.accounts.account import Account
from protocols import foreign_json
from protocols.foreign_text import is_legal_literal
from protocols.message import make_message
from protocols.nats.lenient_json import REPLACEMENT
from protocols.subjects import RESERVED_SUBJECTS

LINE = b"Leafgate-Presence: "
ONLINE_LINE = LINE + b"online\r\n"
OFFLINE_LINE = LINE + b"offline\r\n"
# Who is away for so long does not come back.
OFFLINE_SECONDS = 30 * 86_400
# Who subscribes later wants to know, too. A gateway that was killed finds by the second line whom to take back.
ONLINE = b"NATS/1.0\r\nMqtt-Retain: 1\r\n%b\r\n" % ONLINE_LINE
OFFLINE = b"NATS/1.0\r\nMqtt-Retain: 1\r\n%bMqtt-Message-Expiry: %d\r\n\r\n" % (OFFLINE_LINE, OFFLINE_SECONDS)
# What says of peers that they are away takes at most this part of the room for retained messages: the oldest give way.
ABSENT_SHARE = 4


def is_presence_subject(subject: bytes) -> bool:
    """Whether a peer may name it: one to publish on, and none that belongs to servers."""
    return (
        is_legal_literal(subject)
        and not subject.startswith((b"$", *RESERVED_SUBJECTS))
        # What was no text when it came: of several such names one would be told.
        and REPLACEMENT.encode() not in subject
    )


class Presence:
    """Tells on `subject`, once per change: {"state": "online" or "offline", …}.

    Of several peers with one subject the last to come has it: a device that is back must not be called offline because
    its connection of before ends at last. The caller flushes the switch.
    """

    def __init__(self, account: Account, subject: bytes) -> None:
        self.subject = subject
        self._account = account
        self._present: bool | None = None

    def tell(self, present: bool, about: dict[str, str]) -> None:
        if present == self._present:
            return
        self._present = present
        presences = self._account.presences
        if present:
            presences[self.subject] = self
        elif presences.get(self.subject, self) is not self:
            return
        else:
            presences.pop(self.subject, None)
        publish(self._account, self.subject, present, about)


def publish(account: Account, subject: bytes, present: bool, about: dict[str, str]) -> None:
    payload = msgspec.json.encode({"state": "online" if present else "offline"} | about)
    message = make_message(subject, payload, header=ONLINE if present else OFFLINE)
    account.insist(message, owner=(account, subject))
    account.absent.pop(subject, None)
    if not present:
        account.absent[subject] = None
        forget_oldest(account)


def forget_oldest(account: Account) -> None:
    """Delete what is retained of those that left first, where they are too many."""
    most = account.retained.max_messages // ABSENT_SHARE
    while len(account.absent) > most:
        subject = next(iter(account.absent))
        del account.absent[subject]
        account.untold.pop(subject, None)
        kept = account.retained.get(subject)
        if kept is not None and OFFLINE_LINE in kept.header():  # Otherwise it is a message of somebody's own by now.
            account.retained.keep(make_message(subject, b""))


def take_back(account: Account) -> None:
    """Tell of everybody whom an earlier run left online, because it was killed, that they are not there."""
    retained = account.retained
    account.absent = dict.fromkeys(retained.containing(OFFLINE_LINE))
    for subject in retained.containing(ONLINE_LINE):
        message = retained.get(subject)
        if message is None:
            continue
        try:
            about = foreign_json.decode(message.payload(), dict[str, str])
        except msgspec.DecodeError:
            about = {}  # a client's own message, with our header
        about.pop("state", None)
        publish(account, subject, False, about)
