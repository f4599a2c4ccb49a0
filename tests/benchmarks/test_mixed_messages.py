"""Mixed traffic is mixed, and its rehearsal believes a server nothing: each message once, whole, and in order."""

import collections
import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the benchmarks as bench.py does, and forgets them all afterwards."""
    monkeypatch.syspath_prepend(str(HERE))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == HERE:
            del sys.modules[name]


class Loopback:
    """The stream of a publisher and of its one receiver: what is sent comes back as deliveries, through a fault."""

    def __init__(self, split: Callable[[bytes], list[bytes]], fault: Callable[[list[bytes]], list[bytes]]) -> None:
        self.socket = self
        self._split = split
        self._fault = fault
        self._waiting = b""

    def settimeout(self, seconds: float) -> None:
        pass

    def wrap(self, data: bytes) -> bytes:
        return data

    def send(self, data: bytes) -> None:
        publications = self._split(data.replace(b"PUB ", b"MSG "))
        if len(publications) > 1:
            publications = self._fault(publications)
        self._waiting += b"".join(each.replace(b"MSG ", b"MSG 1 ", 1) for each in publications)

    sendall = send

    def receive(self) -> bytes:
        if not self._waiting:
            raise TimeoutError
        data, self._waiting = self._waiting, b""
        return data


def dropped(deliveries: list[bytes]) -> list[bytes]:
    return deliveries[:5] + deliveries[6:]


def repeated(deliveries: list[bytes]) -> list[bytes]:
    return deliveries[:5] + deliveries[4:]


def one_too_many(deliveries: list[bytes]) -> list[bytes]:
    return [*deliveries, deliveries[-1]]


def out_of_order(deliveries: list[bytes]) -> list[bytes]:
    return [deliveries[1], deliveries[0], *deliveries[2:]]


def altered(deliveries: list[bytes]) -> list[bytes]:
    return [*deliveries[:-1], deliveries[-1][:-3] + b"?\r\n"]


def rehearse(load: Callable[[str], ModuleType], fault: Callable[[list[bytes]], list[bytes]]) -> object:
    nats_client = load("load_nats").NatsClient
    client = nats_client.__new__(nats_client)
    client.stream = Loopback(lambda data: nats_client.split(data)[0], fault)
    messages = load("mixed_messages").mixed_messages(1000)
    return load("rehearsal").Rehearsal(client, [[client]]).chunks(messages)


def test_subject_never_follows_itself_and_sizes_differ(load: Callable[[str], ModuleType]) -> None:
    messages = load("mixed_messages").mixed_messages(16_000)
    assert len({message.subject for message in messages}) == 1000
    assert {len(message.payload) for message in messages} == set(range(20, 601))
    assert all(one.subject != other.subject for one, other in itertools.pairwise(messages))
    assert len({message.payload for message in messages}) == len(messages)


def test_each_disjoint_filter_takes_a_fifth(load: Callable[[str], ModuleType]) -> None:
    mixed = load("mixed_messages")
    shares = collections.Counter(message.line for message in mixed.mixed_messages(16_000))
    assert shares == dict.fromkeys(range(5), 3200)
    filters = mixed.line_filters()
    assert all(each.subject.startswith(filters[each.line].rstrip(">")) for each in mixed.mixed_messages(1000))


def test_rehearsal_tells_how_many_bytes_are_due(load: Callable[[str], ModuleType]) -> None:
    chunks = rehearse(load, lambda deliveries: deliveries)
    assert sum(chunk.deliveries for chunk in chunks) == 1000
    # A delivery has the sid in addition.
    assert all(chunk.due == [len(chunk.data) + 2 * chunk.deliveries] for chunk in chunks)


@pytest.mark.parametrize("fault", [dropped, repeated, one_too_many, out_of_order, altered])
def test_rehearsal_refuses_what_was_not_sent(
    load: Callable[[str], ModuleType], fault: Callable[[list[bytes]], list[bytes]]
) -> None:
    with pytest.raises(load("machine").LoadError):
        rehearse(load, fault)
