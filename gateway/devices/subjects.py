"""What the gateway itself says about a device: whether it is there, what its console printed, and how it is called."""

from gateway.accounts.account import Account
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.dataplane.port import Port
from gateway.runtime.runtime import Runtime
from gateway.services.presence import Presence
from gateway.settings.serial import Serial
from protocols.foreign_text import make_subject, make_token
from protocols.message import make_message
from protocols.subject_template import SubjectTemplate

LONGEST_LOG = 1024


def subject_token(name: str) -> str:
    """A name as one token of a subject."""
    return make_token(name.encode("utf-8", "replace")).decode().strip("_") or "device"


class DeviceSubjects:
    """The subjects of one device: `<subject>.presence`, `<subject>.log` and what its lines name below `<subject>`."""

    def __init__(self, runtime: Runtime, account: Account, config: Serial, name: str) -> None:
        self.name = subject_token(config.name or name)
        self.prefix = SubjectTemplate(config.subject, "name").make(self.name).encode()
        self.user = config.user
        self._switch = runtime.switch
        self._account = account
        self._port = Port(None)
        self._presence = Presence(account, self.prefix + b".presence")

    def presence(self, present: bool, port: str) -> None:
        """Tell subscribers, once per change."""
        about = {"name": self.name, "port": port}
        if self.user:
            about["user"] = self.user
        self._presence.tell(present, about)
        self._switch.flush()

    def log(self, text: bytes) -> None:
        """What the device printed outside of any protocol, line by line."""
        for line in text.splitlines():
            if line.strip():
                self.publish(b"log", line[:LONGEST_LOG])

    def publish(self, tail: bytes, payload: bytes, rights: Permissions = EVERYTHING) -> bool:
        """False for a tail of which no subject can be made, or none that may be published to."""
        subject = make_subject(tail)
        if not subject or not rights.may_publish(b"%b.%b" % (self.prefix, subject)):
            return False
        self._account.publish(make_message(b"%b.%b" % (self.prefix, subject), payload), self._port)
        self._switch.flush()
        return True
