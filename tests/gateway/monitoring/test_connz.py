"""/connz: which connections, in which order, with which fields."""

from datetime import timedelta

import pytest

from gateway.monitoring.connz import RUN, SORTS, find_page, read_query
from gateway.monitoring.parameters import ParameterError
from gateway.monitoring.snapshot import SubscriptionSnapshot
from tests.gateway.monitoring.snapshots import NOW, START, FixedProvider, connection, connz


def cids(provider: FixedProvider, **query: str) -> list[int]:
    return [fields["cid"] for fields in connz(provider, query)["connections"]]


SECOND = timedelta(seconds=1)
SEVERAL = FixedProvider(
    connection(3, mqtt_client="pump", type="mqtt", subscriptions=1, out_msgs=9, rtt=0.002, pending_bytes=1),
    connection(1, last_activity=START + 5 * SECOND, in_bytes=4, in_msgs=7, out_bytes=1),
    connection(2, start=START - SECOND, account="DEVICES", subscriptions=2, out_bytes=2),
    connection(5, stop=START + 9 * SECOND, reason="Client Closed"),
    connection(4, stop=START + 8 * SECOND, reason="Slow Consumer (Pending Bytes)", mqtt_client="pump", type="mqtt"),
)


def test_page_tells_where_it_stands():
    page = connz(SEVERAL, {"limit": "1", "offset": "1"})
    assert [fields["cid"] for fields in page.pop("connections")] == [2]
    assert page == {
        "server_id": "NABC",
        "now": "2026-01-03T05:04:08.12Z",
        "num_connections": 1,
        "total": 3,
        "offset": 1,
        "limit": 1,
    }


def test_quiet_connection_has_only_the_fields_that_say_something():
    (fields,) = connz(FixedProvider(connection(1, last_activity=NOW - SECOND)), {})["connections"]
    assert fields == {
        "cid": 1,
        "kind": "Client",
        "type": "nats",
        "ip": "192.0.2.1",
        "port": 40001,
        "start": "2026-01-02T03:04:05.12Z",
        "last_activity": "2026-01-03T05:04:07.12Z",
        "uptime": "1d2h0m3s",
        "idle": "1s",
        "pending_bytes": 0,
        "in_msgs": 0,
        "out_msgs": 0,
        "in_bytes": 0,
        "out_bytes": 0,
        "stalls": 0,
        "subscriptions": 0,
    }


def test_closed_connection_tells_when_and_why_and_ages_no_more():
    closed = connection(1, last_activity=START + SECOND, stop=START + 3 * SECOND, reason="Client Closed")
    (fields,) = connz(FixedProvider(closed), {"state": "closed"})["connections"]
    assert (fields["stop"], fields["reason"]) == ("2026-01-02T03:04:08.12Z", "Client Closed")
    assert (fields["uptime"], fields["idle"]) == ("3s", "2s")


def test_what_a_client_says_of_itself_is_shown():
    talkative = connection(1, name="pump", lang="python3", version="2.9", rtt=0.000396, mqtt_client="p1")
    (fields,) = connz(FixedProvider(talkative), {"auth": "1"})["connections"]
    shown = {name: fields[name] for name in ("name", "lang", "version", "rtt", "account", "mqtt_client")}
    assert shown == {
        "name": "pump",
        "lang": "python3",
        "version": "2.9",
        "rtt": "396µs",
        "account": "$G",
        "mqtt_client": "p1",
    }


def test_subscriptions_are_listed_only_when_asked_for():
    listed = connection(
        1,
        subscriptions=2,
        subscriptions_list=lambda: [
            SubscriptionSnapshot("a.b", "1", msgs=3),
            SubscriptionSnapshot("a.*", "2", queue="q", maximum=5),
        ],
    )
    provider = FixedProvider(listed)
    (plain,) = connz(provider, {"subs": "0"})["connections"]
    assert not any(name.startswith("subscriptions_list") for name in plain)
    (short,) = connz(provider, {"subs": "1"})["connections"]
    assert short["subscriptions_list"] == ["a.b", "a.*"]
    (detail,) = connz(provider, {"subs": "detail"})["connections"]
    assert detail["subscriptions_list_detail"] == [
        {"subject": "a.b", "sid": "1", "msgs": 3, "cid": 1},
        {"subject": "a.*", "qgroup": "q", "sid": "2", "msgs": 0, "max": 5, "cid": 1},
    ]
    assert "subscriptions_list" not in detail


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"state": "open"}, [1, 2, 3]),
        ({"state": "closed"}, [4, 5]),
        ({"state": "any"}, [1, 2, 3, 4, 5]),
        ({"state": "all"}, [1, 2, 3, 4, 5]),
        ({"limit": "2"}, [1, 2]),
        ({"limit": "0"}, [1, 2, 3]),
        ({"limit": "-1"}, [1, 2, 3]),
        ({"offset": "2"}, [3]),
        ({"offset": "-2"}, [1, 2, 3]),
        ({"offset": "9"}, []),
        ({"cid": "2"}, [2]),
        ({"cid": "5"}, [5]),
        ({"cid": "5", "offset": "1", "limit": "0"}, [5]),
        ({"cid": "6"}, []),
        ({"cid": "0"}, [1, 2, 3]),
        ({"acc": "DEVICES"}, [2]),
        ({"acc": "NONE"}, []),
        ({"mqtt_client": "pump"}, [3]),
        ({"mqtt_client": "pump", "state": "any"}, [3, 4]),
    ],
    ids=str,
)
def test_query_chooses_the_connections(query, expected):
    assert cids(SEVERAL, **query) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("cid", [1, 2, 3]),
        ("start", [2, 1, 3]),
        ("subs", [2, 3, 1]),
        ("pending", [3, 1, 2]),
        ("msgs_to", [3, 1, 2]),
        ("msgs_from", [1, 2, 3]),
        ("bytes_to", [2, 1, 3]),
        ("bytes_from", [1, 2, 3]),
        ("last", [1, 2, 3]),
        ("idle", [2, 3, 1]),
        ("uptime", [1, 3, 2]),
        ("rtt", [3, 1, 2]),
    ],
)
def test_sort_orders_open_connections(sort, expected):
    assert cids(SEVERAL, sort=sort) == expected


@pytest.mark.parametrize(("sort", "expected"), [("stop", [5, 4]), ("reason", [5, 4]), ("uptime", [4, 5])])
def test_sort_orders_closed_connections(sort, expected):
    assert cids(SEVERAL, sort=sort, state="closed") == expected


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_takes_an_empty_list(sort):
    assert cids(FixedProvider(), sort=sort, state="closed") == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"limit": "x"}, "limit: expected an integer, got 'x'"),
        ({"offset": "1.5"}, "offset: expected an integer"),
        ({"cid": "-1"}, "cid: expected a positive integer"),
        ({"subs": "2"}, "subs: expected a boolean"),
        ({"auth": "x"}, "auth: expected a boolean"),
        ({"state": "ajar"}, "state: expected one of open, closed, any, all"),
        ({"sort": "size"}, "sort: expected one of cid, start, subs"),
        ({"sort": "stop"}, "sort: stop is only there for state=closed"),
        ({"sort": "reason", "state": "all"}, "sort: reason is only there for state=closed"),
    ],
    ids=str,
)
def test_bad_parameter_is_named(query, text):
    with pytest.raises(ParameterError, match=f"^{text}"):
        connz(SEVERAL, query)


def test_page_out_of_thousands_is_found_in_steps_of_one_connection_each():
    taken = 0

    class Counting(FixedProvider):
        def connections(self, state):
            nonlocal taken
            for one in super().connections(state):
                taken += 1
                yield one

    count = 5 * RUN
    provider = Counting(*(connection(cid, subscriptions=cid % 7) for cid in range(count)))
    steps = find_page(provider, read_query({"sort": "subs", "limit": "10", "offset": "3"}))
    seen = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            page = end.value
            break
        assert taken - seen <= 1
        seen = taken
    assert taken == count
    expected = sorted(range(count), key=lambda cid: (-(cid % 7), cid))[3:13]
    assert [one.cid for one in page.connections] == expected
    assert page.fields["total"] == count
