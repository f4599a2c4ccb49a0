"""/varz: the gateway as a whole; and the same in the shorter form that servers tell each other (STATSZ)."""

from dataclasses import asdict

from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import ListenerSnapshot, ServerSnapshot, SnapshotProvider
from gateway.monitoring.status_fields import status_fields
from gateway.monitoring.time_text import nanoseconds, timestamp, uptime
from gateway.transport.census import Traffic


async def varz(provider: SnapshotProvider, query: dict[str, str]) -> Fields:
    server = provider.server(await provider.census())
    https = server.monitoring is not None and server.monitoring.tls
    ends = server.certificates_end
    return {
        "server_id": server.server_id,
        "server_name": server.name,
        "version": server.version,
        "leafgate_version": server.leafgate_version,
        "proto": 1,
        # Programs want to be told; it is none.
        "go": "",
        "host": server.host,
        "port": server.port,
        **({"auth_required": True} if server.auth_required else {}),
        "max_connections": server.max_connections,
        "ping_interval": nanoseconds(server.ping_interval),
        "ping_max": server.ping_max,
        "http_host": server.http_host,
        "http_port": 0 if https else server.http_port,
        "http_base_path": "",
        "https_port": server.http_port if https else 0,
        "auth_timeout": server.auth_timeout,
        **({} if server.nats is None else _tls_fields(server.nats)),
        "max_control_line": server.max_control_line,
        "max_payload": server.max_payload,
        "max_pending": server.max_pending,
        # Dashboards expect the objects of what we do not have, too.
        "cluster": {},
        "gateway": {},
        "leaf": _listener_fields(server.leaf) | _remotes(server),
        "mqtt": _listener_fields(server.mqtt) | asdict(server.mqtt_state),
        "websocket": _listener_fields(server.websocket),
        "jetstream": dict(server.jetstream),
        "uplinks": [status_fields(one) for one in server.uplinks],
        "store_and_forward": [status_fields(one) for one in server.buffers],
        "bridges": [status_fields(one) for one in server.bridges],
        "integrations": [status_fields(one) for one in server.integrations],
        **({"rules": [asdict(one) for one in server.rules]} if server.rules else {}),
        **({"pair": dict(server.pair)} if server.pair else {}),
        "storage": {} if server.storage is None else asdict(server.storage),
        "write_deadline": nanoseconds(server.write_deadline),
        "start": timestamp(server.start),
        "now": timestamp(server.now),
        "uptime": uptime(server.now - server.start),
        "mem": server.mem,
        "memory": dict(server.memory),
        "cores": server.cores,
        "gomaxprocs": 1,
        "cpu": server.cpu,
        "connections": server.connections,
        "total_connections": server.total_connections,
        "routes": 0,
        "remotes": 0,
        "leafnodes": server.leafnodes,
        "in_msgs": server.traffic.in_msgs,
        "in_bytes": server.traffic.in_bytes,
        "in_client_msgs": server.client_traffic.in_msgs,
        "in_client_bytes": server.client_traffic.in_bytes,
        "out_msgs": server.traffic.out_msgs,
        "out_bytes": server.traffic.out_bytes,
        "out_client_msgs": server.client_traffic.out_msgs,
        "out_client_bytes": server.client_traffic.out_bytes,
        "slow_consumers": server.slow_consumers,
        "stale_connections": server.stale_connections,
        "stalled_clients": server.stalls,
        "subscriptions": server.subscriptions,
        "http_req_stats": dict(server.requests),
        "config_load_time": timestamp(server.configured),
        "system_account": server.system_account,
        "slow_consumer_stats": by_role(server.slow_consumers, server.slow_links),
        "stale_connection_stats": by_role(server.stale_connections, server.stale_links),
    } | ({} if ends is None else {"tls_cert_not_after": timestamp(ends)})


def statsz(server: ServerSnapshot) -> Fields:
    """What a server tells of itself now and then, in nats-server's form."""
    told: Fields = {
        "start": timestamp(server.start),
        "mem": server.mem,
        "cores": server.cores,
        "cpu": server.cpu,
        "connections": server.connections,
        "total_connections": server.total_connections,
        "active_accounts": server.active_accounts,
        "subscriptions": server.subscriptions,
        "sent": sent(server.traffic),
        "sent_to_clients": sent(server.client_traffic),
        "received": received(server.traffic),
        "received_from_clients": received(server.client_traffic),
        "slow_consumers": server.slow_consumers,
    }
    if server.slow_consumers:
        told["slow_consumer_stats"] = by_role(server.slow_consumers, server.slow_links)
    if server.stale_connections:
        told["stale_connections"] = server.stale_connections
        told["stale_connection_stats"] = by_role(server.stale_connections, server.stale_links)
    return told | {"active_servers": 1, "gomaxprocs": 1}


def sent(traffic: Traffic) -> Fields:
    """What went out."""
    return {"msgs": traffic.out_msgs, "bytes": traffic.out_bytes}


def received(traffic: Traffic) -> Fields:
    """What came in."""
    return {"msgs": traffic.in_msgs, "bytes": traffic.in_bytes}


def by_role(all_of_them: int, links: int) -> Fields:
    return {"clients": all_of_them - links, "routes": 0, "gateways": 0, "leafs": links}


def _remotes(server: ServerSnapshot) -> Fields:
    remotes = [{"local_account": one.account, "urls": [one.url]} for one in server.uplinks]
    return {"remotes": remotes} if remotes else {}


def _listener_fields(listener: ListenerSnapshot | None) -> Fields:
    if listener is None:
        return {}
    return {"host": listener.host, "port": listener.port} | _tls_fields(listener)


def _tls_fields(listener: ListenerSnapshot) -> Fields:
    if not listener.tls_seconds:
        return {}
    return {
        "tls_required": listener.tls,
        "tls_verify": listener.tls_verify,
        "tls_timeout": listener.tls_seconds,
    }
