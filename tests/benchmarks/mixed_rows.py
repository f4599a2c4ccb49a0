"""The rows that lead the table: traffic as sites send it, and what its users and its idle hours see of a server."""

from collections.abc import Sequence

from cases import MQTT_PEERS, NATS_PEERS, Case, Row, mqtt, rate
from footprint import footprint
from load_libraries import WINDOW, nats_publish_rate, nats_request_rate, paho_rate
from mixed_measures import FreshSubjects, Library, Mixed, Sparse
from mqtt_measures import Acknowledged
from rest_measures import Rest, Start
from rights_measures import Rights

# Publishers and receivers of the mixed rows.
_SHAPES = (
    ("1-1", "1→1", {}),
    ("1-5", "1→5", {"receivers": 5}),
    ("4-4", "4→4", {"publishers": 4, "receivers": 4}),
    ("disjoint", "1→5 by disjoint filters", {"disjoint": True}),
)
_SPARSE = "500 connections, 4,000 messages a second one at a time: CPU for each"

# What each does one at a time and in a window.
_LIBRARIES = (
    ("paho", "paho-mqtt QoS 1 1→1, published and delivered", paho_rate, "mqtt", MQTT_PEERS),
    ("nats-py", "nats-py 1→1, publish and flush", nats_publish_rate, "nats", NATS_PEERS),
    ("nats-py-request", "nats-py request", nats_request_rate, "nats", NATS_PEERS),
)

MIXED_CASES: Sequence[Case] = (
    *(rate(f"mixed-nats-{key}", f"mixed NATS {title}", Mixed(**shape)) for key, title, shape in _SHAPES),
    *(
        rate(
            f"mixed-mqtt-{key}",
            f"mixed MQTT QoS 0 {title}",
            Mixed(**shape, publish="mqtt", receive="mqtt"),
            "mqtt",
            servers=MQTT_PEERS,
        )
        for key, title, shape in _SHAPES
    ),
    *(
        rate(
            f"mixed-mqtt-qos{qos}",
            f"mixed MQTT QoS {qos} 1→1, {in_flight} in flight",
            Acknowledged(qos, mixed=True, in_flight=in_flight),
            "mqtt",
            servers=MQTT_PEERS,
        )
        # mosquitto takes no more than 20 of QoS 2 at a time in order.
        for qos, in_flight in ((1, 100), (2, 20))
    ),
    rate(
        "mixed-mqtt-qos1-persistent",
        "mixed MQTT QoS 1 1→1, 20 in flight, the subscriber's session on disk",
        Acknowledged(1, persistent=True, mixed=True),
        "mqtt",
        servers=MQTT_PEERS,
        store="disk",
    ),
    rate(
        "mixed-import",
        "mixed NATS 1→1, from another account under a prefix",
        Mixed(publish="nats:plant", receive="nats:office", prefix="in."),
        accounts=True,
    ),
    *(
        Case(
            (
                Row(
                    f"mixed-rights-{protocol}",
                    f"mixed {title} 1→1, by a user with rights",
                    "k deliveries/s",
                    scale=1e-3,
                ),
                Row(
                    f"mixed-rights-{protocol}-cost",
                    "CPU beyond that for one without rules",
                    "% (less is better)",
                    "cost",
                ),
            ),
            Rights(protocol),
            protocols=frozenset({protocol}),
            rights=True,
        )
        for protocol, title in (("nats", "NATS"), ("mqtt", "MQTT QoS 0"))
    ),
    rate("mixed-mqtt-nats", "mixed MQTT → NATS 1→1", Mixed(publish="mqtt"), "nats", "mqtt"),
    rate("mixed-nats-mqtt", "mixed NATS → MQTT 1→1", Mixed(receive="mqtt"), "nats", "mqtt"),
    rate(
        "mixed-websocket",
        "mixed WebSocket 1→1 (NATS, one PUB a frame)",
        Mixed(publish="websocket", receive="websocket", frames=True),
        "websocket",
    ),
    Case(
        (
            Row("mixed-leafnode", "mixed leafnode: edge → subscriber at the hub", "k deliveries/s", scale=1e-3),
            # The hub shares its core with the load, and may be the limit of the rate.
            Row("mixed-leafnode-cpu", "CPU of the edge for each of them", "µs (less is better)", "cpu"),
        ),
        Mixed(),
        hub=True,
    ),
    Case((Row("sparse-nats", f"NATS, {_SPARSE}", "µs (less is better)", "cpu"),), Sparse("nats")),
    mqtt(Row("sparse-mqtt", f"MQTT QoS 0, {_SPARSE}", "µs (less is better)", "cpu"), measure=Sparse("mqtt")),
    rate("fresh-nats", "a fresh subject for every message, NATS, 16 B", FreshSubjects()),
    rate(
        "fresh-mqtt",
        "a fresh subject for every message, MQTT QoS 0, 16 B",
        FreshSubjects("mqtt"),
        "mqtt",
        servers=MQTT_PEERS,
    ),
    *(
        Case(
            (Row(f"library-{key}", f"{title}, {how}", "k messages/s", scale=1e-3),),
            Library(measured, protocol, window),
            servers,
            frozenset({protocol}),
        )
        for name, title, measured, protocol, servers in _LIBRARIES
        for key, how, window in ((name, "one at a time", 1), (f"{name}-{WINDOW}", f"{WINDOW} at a time", WINDOW))
    ),
)

_NATS_AND_MQTT = frozenset({"nats", "mqtt"})
REST_CASES: Sequence[Case] = (
    Case(
        (
            Row("start-cpu", "CPU from start to first CONNACK", "ms (less is better)", "cpu"),
            Row("start-memory", "memory at rest", "MiB (less is better)", "memory"),
        ),
        Start("mqtt"),
        MQTT_PEERS,
        _NATS_AND_MQTT,
    ),
    Case(
        (
            Row("start-nats-cpu", "CPU from start to first PONG, NATS only", "ms (less is better)", "cpu"),
            Row("start-nats-memory", "memory at rest, NATS only", "MiB (less is better)", "memory"),
        ),
        Start("nats"),
    ),
    Case(
        (Row("rest-cpu", "CPU of a minute at rest", "ms (less is better)", "cpu"),),
        Rest("mqtt"),
        MQTT_PEERS,
        _NATS_AND_MQTT,
        runs=1,
    ),
    Case(
        (
            Row("carried-size", "the server's own files, packed as in a wheel", "MB (less is better)", "packed"),
            Row(
                "carried-distributions",
                "distributions that it takes, its own included",
                "(less is better)",
                "distributions",
            ),
        ),
        footprint,
        MQTT_PEERS,
        _NATS_AND_MQTT,
        runs=1,
    ),
)
