"""The measurements of MQTT rows beyond plain throughput: acknowledgements, sessions, retained messages, connections."""

from dataclasses import dataclass

import mqtt_packets as packets
from load_connections import connect_rate
from load_exchange import exchange_rate, repeated_message
from load_idle import mqtt_memory
from load_retained import retained_cost
from load_sessions import queued_rate, require_sessions
from load_storm import storm_cost
from machine import connections_possible
from measures import BUSY_LOAD, Effort, Outcome, Site
from mixed_messages import mixed_messages

_STORM_MESSAGES = 20


def _fewer(asked: int, possible: int) -> str:
    return f"{possible:,} connections instead of {asked:,}: the limit on open files" if possible < asked else ""


@dataclass(frozen=True)
class Acknowledged:
    """Deliveries per second from one publisher to one subscriber, both acknowledging.

    20 in flight is the default window of mosquitto's clients and server. One message of 16 B again and again, or
    mixed ones.
    """

    qos: int
    persistent: bool = False
    mixed: bool = False
    in_flight: int = 20

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        if self.persistent:
            require_sessions(site.server.addresses["mqtt"])
        messages = mixed_messages(effort.mixed_messages) if self.mixed else repeated_message(16, self.in_flight)
        done = exchange_rate(site.server, self.qos, messages, self.in_flight, effort.seconds, self.persistent)
        limit = f"the load was busy for {done.load_busy:.0%} of the time" if done.load_busy > BUSY_LOAD else ""
        return Outcome({"rate": done.rate}, done.server_busy, limit)


@dataclass(frozen=True)
class Offline:
    """Messages per second into the queues of sessions that are away, counted when their PUBACK has come."""

    in_flight: int

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        address = site.server.addresses["mqtt"]
        return Outcome({"rate": queued_rate(address, effort.offline_sessions, self.in_flight, effort.seconds)})


@dataclass(frozen=True)
class IdleMqtt:
    """KiB for each connection with one subscription of its own."""

    version: int = packets.V311

    def __call__(self, site: Site, effort: Effort) -> Outcome:
        connections = connections_possible(effort.mqtt_connections)
        memory = mqtt_memory(site.server, connections, self.version) / 1024
        return Outcome({"memory": memory}, remark=_fewer(effort.mqtt_connections, connections))


def connect_and_subscribe(site: Site, effort: Effort) -> Outcome:
    return Outcome({"rate": connect_rate(site.server.addresses["mqtt"], effort.seconds)})


def retained(site: Site, effort: Effort) -> Outcome:
    """Bytes for each topic, topics stored per second, and milliseconds until `#` has its first and last message."""
    cost = retained_cost(site.server, effort.retained_topics)
    return Outcome(
        {
            "memory": cost.memory_bytes,
            "rate": cost.rate,
            "first": cost.first_seconds * 1e3,
            "last": cost.last_seconds * 1e3,
        }
    )


def reconnect_storm(site: Site, effort: Effort) -> Outcome:
    """Seconds until all are served, and milliseconds of a round trip of two others meanwhile."""
    sessions = connections_possible(effort.storm_sessions)
    cost = storm_cost(site.server.addresses["mqtt"], sessions, _STORM_MESSAGES)
    fewer = _fewer(effort.storm_sessions, sessions)
    calm = (
        f"before the storm a round trip took {cost.calm_p50 * 1e3:.2f} ms, p99 {cost.calm_p99 * 1e3:.2f} ms; "
        f"the load used {cost.load_busy:.0%} of its core"
    )
    values = {"seconds": cost.seconds, "p50": cost.p50 * 1e3, "p99": cost.p99 * 1e3}
    return Outcome(values, remark="; ".join(filter(None, (calm, fewer))))
