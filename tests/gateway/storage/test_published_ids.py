"""Ids of published messages: how long they are known, and what is left of them on the disk."""

from pathlib import Path

from gateway.storage.published_ids import ID_BYTES, SWEPT_AT_ONCE, PublishedIds, name_publisher, place_of
from gateway.storage.storage import Storage
from tests.gateway.storage.running_journal import commit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(directory: Path) -> Storage:
    return Storage(directory, 10, 1000)


def publish(ids: PublishedIds, identifier: bytes) -> int:
    assert ids.find(identifier) == 0
    number = ids.next()
    ids.note(identifier, number)
    return number


def stored(storage: Storage) -> list[tuple[bytes, int]]:
    commit(storage.journal)
    return list(storage.database.connection.execute("SELECT id, sequence FROM published ORDER BY sequence"))


def test_id_is_known_until_its_time_is_over():
    clock = Clock()
    ids = PublishedIds(clock=clock)
    assert publish(ids, b"a") == 1
    clock.now = 119.0
    assert publish(ids, b"b") == 2
    assert ids.find(b"a") == 1
    clock.now = 120.0
    assert ids.find(b"a") == 0
    assert ids.find(b"b") == 2
    clock.now = 239.0
    ids.sweep()
    assert len(ids) == 0
    assert publish(ids, b"a") == 3


def test_publisher_at_its_bound_has_no_room_and_takes_nothing_from_others():
    clock = Clock()
    ids = PublishedIds(most_each=3 * (ID_BYTES + 1), clock=clock)
    ids.note(b"z", ids.next(), b"quiet")
    for identifier in (b"a", b"b", b"c"):
        assert ids.has_room(b"loud")
        ids.note(identifier, ids.next(), b"loud")
    assert not ids.has_room(b"loud")
    assert ids.has_room(b"quiet")
    assert [ids.find(identifier) for identifier in (b"z", b"a", b"b", b"c")] == [1, 2, 3, 4]
    clock.now = 120.0
    assert ids.has_room(b"loud")
    assert ids._bytes_of == {}


def test_all_publishers_together_are_bounded_too():
    ids = PublishedIds(most=2 * (ID_BYTES + 1), clock=Clock())
    for number in range(2):
        assert ids.has_room(b"%d" % number)
        ids.note(b"%d" % number, ids.next(), b"%d" % number)
    assert not ids.has_room(b"another")


def test_publishers_that_take_other_names_have_no_more_room_by_that():
    clock = Clock()
    ids = PublishedIds(most=9 * (ID_BYTES + 1), clock=clock)
    for number in range(3):
        publisher = name_publisher("mqtt", "10.0.0.1", "", b"client-%d" % number)
        assert ids.has_room(publisher)
        ids.note(b"%d" % number, ids.next(), publisher)
    assert not ids.has_room(name_publisher("mqtt", "10.0.0.1", "", b"client-3"))
    assert not ids.has_room(name_publisher("nats", "10.0.0.1", ""))
    assert ids.has_room(name_publisher("mqtt", "10.0.0.2", "", b"client-0"))
    assert ids.has_room(name_publisher("mqtt", "10.0.0.1", "somebody", b"client-0"))
    clock.now = 120.0
    assert ids.has_room(name_publisher("mqtt", "10.0.0.1", "", b"client-3"))
    assert ids._bytes_at == {}


def test_however_many_places_fill_their_shares_another_one_has_room():
    ids = PublishedIds(most=2000 * (ID_BYTES + 4), clock=Clock())
    noted = 0
    for place in range(5):
        while ids.has_room(publisher := name_publisher("mqtt", f"10.0.0.{place}", "", b"%d" % noted)):
            ids.note(b"%04d" % noted, ids.next(), publisher)
            noted += 1
    assert noted > 1500
    assert ids.has_room(name_publisher("nats", "10.0.1.1", ""))


def test_addresses_of_one_site_are_one_place():
    places = {
        place_of(name_publisher("nats", host, user))
        for host in ("2001:db8::1", "2001:db8::2:3:4:5", "fe80::1%eth0")
        for user in ("", "a b")
    }
    assert places == {b"2001:db8::/64", b"2001:db8::/64/a%20b", b"fe80::/64", b"fe80::/64/a%20b"}


def test_restart_does_not_give_a_publisher_more_room(tmp_path: Path):
    storage = opened(tmp_path)
    ids = storage.global_account.published_ids
    ids.note(b"a", ids.next(), b"loud")
    commit(storage.journal)
    storage.close()
    storage = opened(tmp_path)
    ids = PublishedIds(storage.journal, most_each=ID_BYTES)
    ids.load()
    assert not ids.has_room(b"loud")
    assert ids.has_room(b"quiet")
    storage.close()


def test_many_are_forgotten_little_by_little_and_none_of_them_is_found():
    clock = Clock()
    ids = PublishedIds(clock=clock)
    count = 3 * SWEPT_AT_ONCE
    for number in range(count):
        ids.note(b"%d" % number, ids.next())
    clock.now = 120.0
    assert publish(ids, b"%d" % (count - 1)) == count + 1
    assert len(ids) == count - SWEPT_AT_ONCE
    for _ in range(3):
        ids.sweep()
    assert len(ids) == 1
    assert ids.find(b"%d" % (count - 1)) == count + 1


def test_restart_knows_the_ids_and_counts_on(tmp_path: Path):
    storage = opened(tmp_path)
    for identifier in (b"z", b"a"):
        publish(storage.global_account.published_ids, identifier)
    commit(storage.journal)
    storage.close()
    storage = opened(tmp_path)
    assert [storage.global_account.published_ids.find(identifier) for identifier in (b"z", b"a", b"b")] == [1, 2, 0]
    assert storage.global_account.published_ids.next() == 3
    storage.close()


def test_what_is_forgotten_leaves_the_disk(tmp_path: Path):
    storage = opened(tmp_path)
    clock = Clock()
    ids = PublishedIds(storage.journal, clock=clock)
    publish(ids, b"a")
    publish(ids, b"b")
    assert stored(storage) == [(b"a", 1), (b"b", 2)]
    clock.now = 120.0
    publish(ids, b"b")  # gone and come again with one commit
    assert stored(storage) == [(b"b", 3)]
    storage.close()
