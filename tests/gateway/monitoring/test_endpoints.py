"""The end points: status, type and body of what each path answers."""

import json
import re

import msgspec
import pytest

from gateway.bridges.status import BridgeStatus
from gateway.forwarding.status import BufferStatus
from gateway.monitoring.endpoints import ENDPOINTS, respond
from gateway.monitoring.http_server import Response
from gateway.monitoring.snapshot import (
    AccountSnapshot,
    StorageSnapshot,
    StreamFault,
    TreeSnapshot,
)
from gateway.settings.security import Export
from gateway.transport.snapshot import LinkSnapshot, SubscriptionSnapshot
from gateway.uplink.status import LinkStatus
from tests.gateway.monitoring.snapshots import START, FixedProvider, connection, connz, made


async def get(path: str, provider: FixedProvider | None = None, **query: str) -> Response:
    return await made(respond(provider or FixedProvider(), path, query))


def body_of(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def told_by(response: Response):
    assert response.status == 200
    return json.loads(body_of(response))


async def test_index_links_to_every_other_end_point():
    response = await get("/")
    assert (response.status, response.content_type) == (200, "text/html; charset=utf-8")
    linked = {f"/{name}" for name in re.findall(r'href="\./(\w+)"', body_of(response).decode())}
    assert linked == ENDPOINTS.keys() - {"/", "/subscriptionsz"} | {"/metrics"}


async def test_index_tells_numbers_and_trusts_no_text():
    link = LinkStatus("<b>cloud", "$G", "nats-leaf://hub", "", False, "down", "", START, "<i>refused", "", 3, 5, 2, 7)
    text = body_of(await get("/", FixedProvider(uplinks=(link,)))).decode()
    assert "<td>down &lt;i&gt;refused</td>" in text
    assert "<th>Uplink &lt;b&gt;cloud</th>" in text
    assert "<th>Clients</th>" in text


async def test_health_is_ok_when_nothing_is_wrong():
    response = await get("/healthz")
    assert (response.status, response.body) == (200, b'{"status":"ok"}')


async def test_health_tells_what_is_wrong():
    response = await get("/healthz", FixedProvider(error="the disk is full"))
    assert (response.status, response.body) == (503, b'{"status":"unavailable","error":"the disk is full"}')


async def test_serial_ports_that_fail_degrade_health():
    provider = FixedProvider()
    provider.faults = {"serial": {"/dev/ttyUSB0": "not plugged in"}}
    response = await get("/healthz", provider)
    assert response.status == 200
    assert response.body == b'{"status":"degraded","serial":{"/dev/ttyUSB0":"not plugged in"}}'


async def test_hubs_that_are_away_degrade_health():
    provider = FixedProvider()
    provider.faults = {"uplinks": {"cloud": "nats-leaf://hub:7422: down for 3 s: refused"}}
    response = await get("/healthz", provider)
    assert response.status == 200
    assert response.body == b'{"status":"degraded","uplinks":{"cloud":"nats-leaf://hub:7422: down for 3 s: refused"}}'


async def test_a_link_on_standby_is_told_and_degrades_nothing():
    provider = FixedProvider()
    provider.told = {"standby": {"backup": "uplink cloud serves the same place"}}
    response = await get("/healthz", provider)
    assert response.body == b'{"status":"ok","standby":{"backup":"uplink cloud serves the same place"}}'


async def test_varz_shows_each_link_to_a_hub():
    link = LinkStatus(
        "cloud", "$G", "nats-leaf://hub:7422", "hub", False, "standby", "lte", START, "refused", "no", 3, 5, 2, 7
    )
    assert told_by(await get("/varz", FixedProvider(uplinks=(link,))))["uplinks"] == [
        {
            "name": "cloud",
            "account": "$G",
            "url": "nats-leaf://hub:7422",
            "hub": "hub",
            "up": False,
            "state": "standby",
            "standing_by_for": "lte",
            "since": "2026-01-02T03:04:05.12Z",
            "last_error": "refused",
            "flaps": 3,
            "attempts": 5,
            "refused_interest": 2,
            "dropped_msgs": 7,
        }
    ]


async def test_varz_and_leafz_show_what_waits_for_hubs():
    numbers = {"messages": 7, "bytes": 900, "oldest_seconds": 1.5, "under_way": 2, "forwarded": 3}
    numbers |= {"repeated": 1, "resent": 4, "plain": 0}
    told = {"name": "cloud", "account": "plant", "uplink": "cloud", "state": "held", "last_error": "no stream"}
    buffer = BufferStatus(**told, **numbers, fault="no stream", dropped={"full": 2})
    provider = FixedProvider(buffers=(buffer,))
    shown = told | numbers | {"dropped": {"full": 2}}
    assert told_by(await get("/varz", provider))["store_and_forward"] == [shown]
    assert told_by(await get("/leafz", provider, acc="plant"))["store_and_forward"] == [shown]
    assert told_by(await get("/leafz", provider, acc="office"))["store_and_forward"] == []


async def test_varz_shows_each_bridge_to_a_broker():
    link = BridgeStatus("cloud", "mqtt://broker:1883", "5.0", True, START, "", "", 1, 2, 3, 4, 5, 6, 7)
    assert told_by(await get("/varz", FixedProvider(bridges=(link,))))["bridges"] == [
        {
            "name": "cloud",
            "url": "mqtt://broker:1883",
            "version": "5.0",
            "up": True,
            "since": "2026-01-02T03:04:05.12Z",
            "last_error": "",
            "flaps": 1,
            "attempts": 2,
            "queued_msgs": 3,
            "queued_bytes": 4,
            "dropped_msgs": 5,
            "refused_msgs": 6,
            "not_taken_msgs": 7,
        }
    ]


async def test_varz_shows_the_server():
    response = await get("/varz")
    assert (response.status, response.content_type) == (200, "application/json")
    assert response.body.startswith(b'{\n  "server_id": "NABC",\n  "server_name": "edge-1",\n')
    assert json.loads(response.body) == {
        "server_id": "NABC",
        "server_name": "edge-1",
        "version": "2.15.1",
        "leafgate_version": "0.1.0",
        "proto": 1,
        "go": "",
        "host": "127.0.0.1",
        "port": 4222,
        "max_connections": 65536,
        "ping_interval": 120_000_000_000,
        "ping_max": 2,
        "http_host": "127.0.0.1",
        "http_port": 8222,
        "http_base_path": "",
        "https_port": 0,
        "auth_timeout": 0.0,
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
        "store_and_forward": [],
        "bridges": [],
        "integrations": [],
        "storage": {},
        "write_deadline": 10_000_000_000,
        "start": "2026-01-02T03:04:05.12Z",
        "now": "2026-01-03T05:04:08.12Z",
        "uptime": "1d2h0m3s",
        "mem": 33554432,
        "memory": {"limit": 1000, "used": 10, "refused": 0},
        "cores": 4,
        "gomaxprocs": 1,
        "cpu": 1.5,
        "connections": 3,
        "total_connections": 17,
        "routes": 0,
        "remotes": 0,
        "leafnodes": 1,
        "in_msgs": 1,
        "in_bytes": 3,
        "in_client_msgs": 1,
        "in_client_bytes": 3,
        "out_msgs": 2,
        "out_bytes": 4,
        "out_client_msgs": 0,
        "out_client_bytes": 0,
        "slow_consumers": 5,
        "stale_connections": 6,
        "stalled_clients": 8,
        "subscriptions": 7,
        "http_req_stats": {"/varz": 9},
        "config_load_time": "2026-01-02T03:04:05.12Z",
        "system_account": "$SYS",
        "slow_consumer_stats": {"clients": 4, "routes": 0, "gateways": 0, "leafs": 1},
        "stale_connection_stats": {"clients": 6, "routes": 0, "gateways": 0, "leafs": 0},
    }


async def test_varz_shows_what_the_storage_does():
    storage = StorageSnapshot("the disk is full", 1, 2, 3, 4, 5, 6, "/data/leafgate.db.broken-1")
    assert told_by(await get("/varz", FixedProvider(storage=storage)))["storage"] == {
        "fault": "the disk is full",
        "faults": 1,
        "commits": 2,
        "rows": 3,
        "pending_bytes": 4,
        "refused": 5,
        "set_apart": 6,
        "set_aside": "/data/leafgate.db.broken-1",
    }


async def test_connz_is_indented_json():
    response = await get("/connz", FixedProvider(connection(1, name="Püppchen")), limit="5")
    assert (response.status, response.content_type) == (200, "application/json")
    assert b'\n  "limit": 5,\n  "connections": [\n    {\n      "cid": 1,\n' in response.body
    assert json.loads(response.body)["connections"][0]["name"] == "Püppchen"


async def test_bad_parameter_gets_one_line_that_names_it():
    response = await get("/connz", limit="x")
    assert (response.status, response.body) == (400, b"limit: expected an integer, got 'x'\n")


@pytest.mark.parametrize("path", ["", "/nope", "/varz/", "//varz", "/VARZ"])
async def test_other_paths_are_not_found(path):
    assert (await get(path)).status == 404


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("subs", ["1", "detail"])
async def test_lists_of_subscriptions_are_made_in_pieces_that_read_as_one(subs: str, count: int):
    listed = [SubscriptionSnapshot(f"a.{number}", str(number), "q", number, 9) for number in range(count)]
    provider = FixedProvider(
        *(connection(cid, subscriptions=count, subscriptions_list=lambda: listed, name='"x"') for cid in (1, 2))
    )
    response = await get("/connz", provider, subs=subs)
    pieces = list(response.body)
    assert len(pieces) > 2 * count
    whole = msgspec.json.format(msgspec.json.encode(connz(provider, {"subs": subs})), indent=2)
    assert without_time(b"".join(pieces)) == without_time(whole)


def without_time(body: bytes) -> bytes:
    return re.sub(rb'"(now|uptime|idle)": "[^"]*"', b"", body)


ACCOUNTS = (
    AccountSnapshot(name="$SYS", is_system=True),
    AccountSnapshot(name="plant", connections=2, leafnodes=1, in_msgs=3, out_bytes=4, exports=(Export(stream="a.>"),)),
)


async def test_accounts_are_named_or_told_of_one_by_one():
    provider = FixedProvider()
    provider.told_accounts = ACCOUNTS
    told = told_by(await get("/accountz", provider))
    assert (told["system_account"], told["accounts"]) == ("$SYS", ["$SYS", "plant"])
    detail = told_by(await get("/accountz", provider, acc="plant"))["account_detail"]
    assert (detail["account_name"], detail["client_connections"], detail["leafnode_connections"]) == ("plant", 2, 1)
    assert detail["exports"] == [{"subject": "a.>", "type": "stream"}]
    assert (await get("/accountz", provider, acc="none")).status == 400


async def test_statistics_are_those_of_accounts_in_use():
    provider = FixedProvider()
    provider.told_accounts = ACCOUNTS
    (told,) = told_by(await get("/accstatz", provider))["account_statz"]
    assert (told["acc"], told["conns"], told["total_conns"]) == ("plant", 2, 3)
    assert (told["received"]["msgs"], told["sent"]["bytes"]) == (3, 4)
    assert len(told_by(await get("/accstatz", provider, unused="1"))["account_statz"]) == 2


async def test_subscriptions_are_counted_and_listed_in_pages():
    listed = [SubscriptionSnapshot(f"a.{number}", str(number), "q" if number else "") for number in range(3)]
    provider = FixedProvider(connection(7, subscriptions_list=lambda: listed))
    provider.told_accounts = (AccountSnapshot(name="$G"),)
    provider.told_tree = TreeSnapshot(3, 2, 5, 2, 10, 4, 6, 1.5)
    told = told_by(await get("/subsz", provider))
    assert "subscriptions_list" not in told
    assert (told["num_subscriptions"], told["num_inserts"], told["num_removes"], told["total"]) == (3, 5, 2, 0)
    assert (told["cache_hit_rate"], told["max_fanout"], told["avg_fanout"]) == (0.6, 6, 1.5)
    told = told_by(await get("/subscriptionsz", provider, subs="1", offset="1", limit="1"))
    assert (told["total"], told["offset"], told["limit"]) == (1, 1, 1)
    assert told["subscriptions_list"] == [
        {"account": "$G", "account_tag": "$G", "subject": "a.1", "qgroup": "q", "sid": "1", "msgs": 0, "cid": 7}
    ]
    (found,) = told_by(await get("/subsz", provider, subs="1", test="a.2"))["subscriptions_list"]
    assert found["subject"] == "a.2"
    for query in ({"test": "a.*"}, {"acc": "nobody"}, {"subs": "maybe"}, {"limit": "x"}):
        assert (await get("/subsz", provider, **query)).status == 400


async def test_leafz_tells_of_links_in_nats_servers_form():
    links = (
        connection(7, link=LinkSnapshot(is_spoke=False), name="shed", account="plant", subscriptions=2, rtt=0.0015),
        connection(3, link=LinkSnapshot(is_spoke=True, is_isolated=True), name="hub", in_msgs=4),
    )
    provider = FixedProvider(*links, connection(4, name="a client"))
    body = told_by(await get("/leafz", provider))
    assert (body["server_id"], body["leafnodes"]) == ("NABC", 2)
    hub, shed = body["leafs"]
    assert (hub["id"], hub["name"], hub["is_spoke"], hub["is_isolated"], hub["in_msgs"]) == (3, "hub", True, True, 4)
    assert (shed["name"], shed["account"], shed["is_spoke"], shed["subscriptions"], shed["rtt"]) == (
        "shed",
        "plant",
        False,
        2,
        "1.5ms",
    )
    assert "subscriptions_list" not in shed
    one = told_by(await get("/leafz", provider, acc="plant", subs="1"))
    assert [(each["id"], each["subscriptions_list"]) for each in one["leafs"]] == [(7, [])]


@pytest.mark.parametrize(
    ("path", "empty"), [("/routez", "routes"), ("/gatewayz", "inbound_gateways"), ("/jsz", "streams")]
)
async def test_what_is_not_there_is_told_in_its_form(path: str, empty: str):
    assert not told_by(await get(path))[empty]
    assert (await get(path, subs="x", accs="x", config="x")).status == 400


async def test_only_what_a_restart_mends_makes_the_gateway_dead():
    provider = FixedProvider(error="the disk is full", hint="make room")
    assert told_by(await get("/healthz", provider, **{"js-enabled-only": "1"})) == {"status": "ok"}
    response = await get("/healthz", provider)
    assert json.loads(body_of(response)) == {"status": "unavailable", "error": "the disk is full", "hint": "make room"}
    provider.is_stalled = True
    assert (await get("/healthz", provider, **{"js-enabled-only": "true"})).status == 503
    assert (await get("/healthz", provider, **{"js-enabled-only": "perhaps"})).status == 400


async def test_health_is_told_in_detail():
    provider = FixedProvider(error="the disk is full")
    response = await get("/healthz", provider, details="1")
    told = json.loads(body_of(response))
    assert (response.status, told["status"]) == (503, "error")
    assert told["errors"] == [{"type": "CONNECTION", "error": "the disk is full"}]
    provider = FixedProvider()
    provider.faults = {"uplinks": {"nats-leaf://hub:7422": "down"}}
    assert told_by(await get("/healthz", provider, details="1")) == {"status": "ok"}
    assert told_by(await get("/healthz", provider, **{"js-server-only": "1"})) == {"status": "ok"}


@pytest.mark.parametrize("query", [{"stream": "s"}, {"account": "a", "consumer": "c"}])
async def test_health_of_streams_needs_to_know_whose(query: dict[str, str]):
    response = await get("/healthz", **query)
    assert (response.status, json.loads(body_of(response))["status"]) == (400, "error")


async def test_health_tells_of_streams_that_are_not_there_before_those_that_are_not_well():
    provider = FixedProvider()
    lost = StreamFault("STREAM", "JetStream stream 'A > S' write error: full", "A", "S")
    gone = StreamFault("CONSUMER", 'JetStream consumer "C" not found', "A", "S", "C", is_missing=True)
    provider.told_stream_faults = [lost]
    response = await get("/healthz", provider)
    assert (response.status, json.loads(body_of(response))) == (503, {"status": "unavailable", "error": lost.error})
    provider.told_stream_faults = [lost, gone]
    response = await get("/healthz", provider, account="A", stream="S", consumer="C", details="1")
    entry = {"type": "CONSUMER", "account": "A", "stream": "S", "consumer": "C", "error": gone.error}
    assert (response.status, json.loads(body_of(response))) == (404, {"status": "error", "errors": [entry]})
    for how_little in ("js-enabled-only", "js-server-only"):
        assert told_by(await get("/healthz", provider, **{how_little: "1"})) == {"status": "ok"}
    assert (await get("/healthz", provider, **{"js-meta-only": "1"})).status == 404
