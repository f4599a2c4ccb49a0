"""The end points: status, type and body of what each path answers."""

import json
import re

import msgspec
import pytest

from gateway.monitoring.connz import connz
from gateway.monitoring.endpoints import ENDPOINTS, respond
from gateway.monitoring.snapshot import StorageSnapshot, UplinkSnapshot
from gateway.transport.snapshot import SubscriptionSnapshot
from tests.gateway.monitoring.snapshots import START, FixedProvider, connection


def get(path: str, provider: FixedProvider | None = None, **query: str):
    return respond(provider or FixedProvider(), path, query)


def test_index_links_to_every_other_end_point():
    response = get("/")
    assert (response.status, response.content_type) == (200, "text/html; charset=utf-8")
    assert {f"/{name}" for name in re.findall(r'href="\./(\w+)"', response.body.decode())} == ENDPOINTS.keys() - {"/"}


def test_health_is_ok_when_nothing_is_wrong():
    response = get("/healthz")
    assert (response.status, response.body) == (200, b'{"status":"ok"}')


def test_health_tells_what_is_wrong():
    response = get("/healthz", FixedProvider(error="the disk is full"))
    assert (response.status, response.body) == (503, b'{"status":"unavailable","error":"the disk is full"}')


def test_serial_ports_that_fail_degrade_health():
    provider = FixedProvider()
    provider.faults = {"serial": {"/dev/ttyUSB0": "not plugged in"}}
    response = get("/healthz", provider)
    assert response.status == 200
    assert response.body == b'{"status":"degraded","serial":{"/dev/ttyUSB0":"not plugged in"}}'


def test_hubs_that_are_away_degrade_health():
    provider = FixedProvider()
    provider.faults = {"uplinks": {"nats-leaf://hub:7422": "down for 3 s: refused"}}
    response = get("/healthz", provider)
    assert response.status == 200
    assert response.body == b'{"status":"degraded","uplinks":{"nats-leaf://hub:7422":"down for 3 s: refused"}}'


def test_varz_shows_each_link_to_a_hub():
    link = UplinkSnapshot("nats-leaf://hub:7422", "hub", False, START, "refused", 3, 5, 2, 7)
    assert json.loads(get("/varz", FixedProvider(uplinks=(link,))).body)["uplinks"] == [
        {
            "url": "nats-leaf://hub:7422",
            "hub": "hub",
            "up": False,
            "since": "2026-01-02T03:04:05.12Z",
            "last_error": "refused",
            "flaps": 3,
            "attempts": 5,
            "refused_interest": 2,
            "dropped_msgs": 7,
        }
    ]


def test_varz_shows_the_server():
    response = get("/varz")
    assert (response.status, response.content_type) == (200, "application/json")
    assert response.body.startswith(b'{\n  "server_id": "NABC",\n  "server_name": "edge-1",\n')
    assert json.loads(response.body) == {
        "server_id": "NABC",
        "server_name": "edge-1",
        "version": "2.15.1",
        "leafgate_version": "0.1.0",
        "proto": 1,
        "host": "127.0.0.1",
        "port": 4222,
        "max_connections": 65536,
        "ping_interval": 120_000_000_000,
        "ping_max": 2,
        "http_host": "127.0.0.1",
        "http_port": 8222,
        "http_base_path": "",
        "https_port": 0,
        "max_control_line": 4096,
        "max_payload": 1048576,
        "max_pending": 67108864,
        "cluster": {},
        "gateway": {},
        "leaf": {},
        "mqtt": {
            "host": "127.0.0.1",
            "port": 1883,
            "sessions": 8,
            "clients": 9,
            "retained_messages": 10,
            "retained_bytes": 11,
            "retained_refused": 12,
            "dropped": 0,
            "oversized": 0,
        },
        "websocket": {},
        "jetstream": {},
        "uplinks": [],
        "storage": {},
        "write_deadline": 10_000_000_000,
        "start": "2026-01-02T03:04:05.12Z",
        "now": "2026-01-03T05:04:08.12Z",
        "uptime": "1d2h0m3s",
        "mem": 33554432,
        "memory": {"limit": 1000, "used": 10, "refused": 0},
        "cores": 4,
        "cpu": 1.5,
        "connections": 3,
        "total_connections": 17,
        "routes": 0,
        "remotes": 0,
        "leafnodes": 1,
        "in_msgs": 1,
        "in_bytes": 3,
        "out_msgs": 2,
        "out_bytes": 4,
        "slow_consumers": 5,
        "stale_connections": 6,
        "subscriptions": 7,
    }


def test_varz_shows_what_the_storage_does():
    storage = StorageSnapshot("the disk is full", 1, 2, 3, 4, "/data/leafgate.db.broken-1")
    assert json.loads(get("/varz", FixedProvider(storage=storage)).body)["storage"] == {
        "fault": "the disk is full",
        "faults": 1,
        "commits": 2,
        "rows": 3,
        "pending_bytes": 4,
        "set_aside": "/data/leafgate.db.broken-1",
    }


def test_connz_is_indented_json():
    response = get("/connz", FixedProvider(connection(1, name="Püppchen")), limit="5")
    assert (response.status, response.content_type) == (200, "application/json")
    assert b'\n  "limit": 5,\n  "connections": [\n    {\n      "cid": 1,\n' in response.body
    assert json.loads(response.body)["connections"][0]["name"] == "Püppchen"


def test_bad_parameter_gets_one_line_that_names_it():
    response = get("/connz", limit="x")
    assert (response.status, response.body) == (400, b"limit: expected an integer, got 'x'\n")


@pytest.mark.parametrize("path", ["", "/nope", "/varz/", "//varz", "/VARZ"])
def test_other_paths_are_not_found(path):
    assert get(path).status == 404


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("subs", ["1", "detail"])
def test_lists_of_subscriptions_are_made_in_pieces_that_read_as_one(subs: str, count: int):
    listed = [SubscriptionSnapshot(f"a.{number}", str(number), "q", number, 9) for number in range(count)]
    provider = FixedProvider(
        *(connection(cid, subscriptions=count, subscriptions_list=lambda: listed, name='"x"') for cid in (1, 2))
    )
    response = get("/connz", provider, subs=subs)
    pieces = list(response.body)
    assert len(pieces) > 2 * count
    whole = msgspec.json.format(msgspec.json.encode(connz(provider, {"subs": subs})), indent=2)
    assert without_time(b"".join(pieces)) == without_time(whole)


def without_time(body: bytes) -> bytes:
    return re.sub(rb'"(now|uptime|idle)": "[^"]*"', b"", body)
