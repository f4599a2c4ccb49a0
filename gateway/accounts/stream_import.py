"""Stream imports: interest in an importing account stands in the exporting one, as what it is called there."""

from gateway.accounts.account import Account
from gateway.dataplane.port import Receiver
from gateway.dataplane.stream_imports import ImportedGroup, ImportedInterest, ImportPort, SharingPort, import_port
from gateway.dataplane.subject_tree import Interest
from gateway.settings.security import Import
from gateway.settings.sharing_rules import import_transform
from protocols.subject_transform import intersection

Key = tuple[bytes, bytes]


class StreamImport:
    """One stream that `importer` takes from `exporter`.

    Who subscribes in the importer to what overlaps the stream has a receiver in the exporter: one for all with the same
    filter, and one for each queue group.
    """

    def __init__(self, importer: Account, exporter: Account, rules: Import) -> None:
        self.rules = rules
        self._importer = importer
        self._exporter = exporter
        transform = import_transform(rules)
        self._local = transform.pattern
        self._remote_of = transform.reverse().apply
        local_of = transform.apply if transform.pattern != transform.source else same
        self._port: ImportPort = import_port(importer.router, local_of)
        self._counts: dict[Key, int] = {}
        self._receivers: dict[Key, Receiver] = {}

    def open(self) -> None:
        """Take interest that is there, and that is to come."""
        router = self._importer.router
        for interest in router.tree.interests():
            members = [*interest.plain]
            for group in (*(interest.beyond or {}).values(), *(interest.groups or {}).values()):
                members += group
            for receiver in members:
                self.interest_moved(interest, receiver)
        router.watch(self)

    def close(self) -> None:
        self._importer.router.unwatch(self)
        for receiver in self._receivers.values():
            self._exporter.router.unsubscribe(receiver)
        self._receivers.clear()
        self._counts.clear()

    def interest_moved(self, interest: Interest, receiver: Receiver) -> None:
        """Somebody in the importer subscribed or does not any more (gateway.dataplane.router.InterestWatcher)."""
        # Neither what the gateway answers itself nor what the importer shares with others is interest of its own.
        if receiver.local_only or isinstance(receiver.port, SharingPort):
            return
        key = receiver.subject, b"" if receiver.port.leaf else receiver.queue
        count = self._counts.get(key, 0)
        if count == 0:
            wanted = intersection(receiver.subject, self._local)
            if wanted is None or receiver.slot < 0:
                return
            self._subscribe(key, self._remote_of(wanted), interest, receiver.shared)
        count += 1 if receiver.slot >= 0 else -1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
            self._exporter.router.unsubscribe(self._receivers.pop(key))

    def _subscribe(self, key: Key, subject: bytes, interest: Interest, shared: bool) -> None:
        made: Receiver
        if key[1]:
            made = ImportedGroup(self._port, subject, key[1], interest, shared)
        else:
            made = ImportedInterest(self._port, subject)
        self._receivers[key] = made
        self._exporter.router.subscribe(made)


def same(subject: bytes) -> bytes:
    return subject
