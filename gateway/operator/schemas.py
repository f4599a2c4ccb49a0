"""The custom resources, as a cluster is told of them: `python -m gateway.operator.schemas` prints the file
configs/operator/crds.yaml, which a test compares with this.
"""

import json
from typing import Any

import yaml

from gateway.operator.kinds import ACCOUNT, BRIDGE, GATEWAY, GROUP, STREAM, UPLINK, USER, VERSION, Kind
from gateway.operator.openapi import LONGEST_TEXT, SECRET_PLACE, Schema, schema_of
from gateway.settings.bridge import Bridge
from gateway.settings.limits import Limits, Timeouts
from gateway.settings.logs import Logging
from gateway.settings.mqtt import Mqtt
from gateway.settings.security import AccountRules, User
from gateway.settings.serial import Serial
from gateway.settings.store_and_forward import StoreAndForward
from gateway.settings.streams import Streams
from gateway.settings.uplink import Uplink

# Names become parts of labels and of other objects' names; `$G` and `$SYS` cannot be names here.
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 52}
KEYS = "Keys are those of configs/leafgate.toml, in camelCase."
# What stands in a Secret, and what the operator puts in itself.
USER_KEYS = ("name", "password", "scram")
LINK_TLS_KEYS = ("ca", "certificate", "key")
GATEWAY_PARTS = ("limits", "timeouts", "mqtt", "logging")


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, "maxLength": LONGEST_TEXT} | more


def table(description: str, properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def free(description: str) -> Schema:
    return {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}


def secret(description: str) -> Schema:
    return SECRET_PLACE | {"description": description}


def flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def whole(description: str, least: int = 0, **more: Any) -> Schema:
    return {"type": "integer", "format": "int64", "minimum": least, "description": description} | more


def _gateway() -> Schema:
    doors = {name: flag(f"Whether there is a door for {name}.") for name in ("mqtt", "websocket", "leafnode")}
    serial = schema_of(Serial, f"A serial port of the node. {KEYS}")
    return table(
        "A gateway: one pod with a volume of its own.",
        {
            "image": text("Empty: the operator's --image."),
            "imagePullPolicy": text("When nodes fetch it.", enum=["Always", "IfNotPresent", "Never"]),
            "imagePullSecrets": {"type": "array", "maxItems": 16, "items": table("A Secret.", {"name": NAME})},
            "stopped": flag("Whether the gateway is to be off: drained, its volume kept."),
            "listeners": table("Doors beside that of NATS; left out: mqtt and websocket.", doors),
            "tls": table(
                "All doors speak TLS: NATS at 4222, MQTT at 8883, WebSocket at 8443, leafnodes at 7422.",
                {
                    "secretName": text("A Secret of the type kubernetes.io/tls, read again when it changes."),
                    "verify": text("Of clients' certificates.", enum=["none", "ask", "require", "map"]),
                },
                ("secretName",),
            ),
            "anonymousUser": text("Who somebody is that does not say who he is: a User's name; empty: nobody."),
            "serviceType": text("Who can reach it.", enum=["ClusterIP", "NodePort", "LoadBalancer"]),
            "serviceAnnotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "storage": table(
                "The volume.",
                {
                    "size": text("As Kubernetes writes it; 1Gi where it is left out. Only at the beginning."),
                    "storageClassName": text("Empty: the cluster's default class. Only at the beginning."),
                    "keep": flag("Whether it stays when the Gateway is deleted; true where it is left out."),
                },
            ),
            "drainSeconds": whole(
                "How long what waits for a hub, and then clients, may take when the gateway ends; 60.", 1, maximum=3600
            ),
            "streams": schema_of(Streams, f"JetStream on the gateway's disk; left out: none. {KEYS}", ("archive",)),
            "limits": schema_of(Limits, f"What connections may take. {KEYS}"),
            "timeouts": schema_of(Timeouts, f"How long is waited. {KEYS}"),
            "mqtt": schema_of(Mqtt, f"Limits of MQTT. {KEYS}"),
            "logging": schema_of(Logging, f"The log. {KEYS}"),
            "serial": {"type": "array", "maxItems": 64, "items": serial},
            "devices": {
                "type": "array",
                "description": "Device files of the node that the pod gets, for which it runs privileged.",
                "maxItems": 64,
                "items": {"type": "string", "pattern": "^/dev/[-._:/a-zA-Z0-9]+$", "maxLength": 253},
            },
            "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
            "tolerations": {"type": "array", "items": free("As Kubernetes has it.")},
            "affinity": free("As Kubernetes has it."),
            "resources": free("As Kubernetes has them."),
            "podLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "podAnnotations": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    )


def _part(description: str, properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    of = {"gateway": NAME | {"description": "The Gateway in this namespace that it belongs to."}}
    return table(description, of | properties, ("gateway", *required))


def _account() -> Schema:
    rules = schema_of(AccountRules, "", ("name",))
    name = text("Empty: as the object.", pattern="^[!-~]*$")
    return _part(f"A subject space of its own. {KEYS}", {"name": name} | rules["properties"])


def _user() -> Schema:
    rules = schema_of(User, "", USER_KEYS)
    return _part(
        f"Somebody who may come in. {KEYS} Without nkey and passwordSecret a password is made, and kept in the Secret "
        "NAME-credentials.",
        {
            "name": text("Empty: as the object.", pattern="^[!-~]*$"),
            "passwordSecret": secret("The password, in plain or as a hash; key: password."),
            "rotateAfterSeconds": whole("A password that was made is replaced after so long; 0: never.", 0),
        }
        | rules["properties"],
    )


def _link_tls(struct: type) -> Schema:
    tls: Schema = schema_of(struct, "")["properties"]["tls"]
    kept = {key: value for key, value in tls["properties"].items() if key not in LINK_TLS_KEYS}
    ours = text("A Secret with ca.crt, and tls.crt and tls.key where the other side asks for a certificate.")
    return tls | {"properties": {"secretName": ours} | kept}


def _uplink() -> Schema:
    keys: Schema = schema_of(Uplink, "", ("name", "password", "token", "nkey", "credentials"))["properties"]
    buffer = schema_of(StoreAndForward, f"What waits on the disk while the link is down. {KEYS}", ("uplink",))
    return _part(
        f"A leafnode link to a hub. {KEYS}",
        keys
        | {
            "tls": _link_tls(Uplink),
            "passwordSecret": secret("Of `user`; key: password."),
            "tokenSecret": secret("A token; key: token."),
            "nkeySecret": secret("The seed of an NKey; key: nkey."),
            "credentialsSecret": secret("A .creds file; key: credentials."),
            "storeAndForward": {"type": "array", "maxItems": 64, "items": buffer},
        },
        ("urls",),
    )


def _bridge() -> Schema:
    keys: Schema = schema_of(Bridge, "", ("name", "password", "shared-access-key"))["properties"]
    more = {
        "tls": _link_tls(Bridge),
        "passwordSecret": secret("Of `user`; key: password."),
        "sharedAccessKeySecret": secret("Of a device of Azure IoT Hub; key: shared-access-key."),
    }
    return _part(f"The gateway as a client of an MQTT broker. {KEYS}", keys | more, ("urls", "topics"))


def _stream() -> Schema:
    number = {"type": "integer", "format": "int64", "minimum": -1}
    return _part(
        "A stream in the gateway, made by JetStream's API.",
        {
            "name": text("Empty: as the object.", pattern=r"^[^\s.*>/\\]*$", maxLength=255),
            "account": text("The account that it is in; empty: the default one."),
            "description": text("For people."),
            "subjects": {"type": "array", "maxItems": 128, "items": {"type": "string", "maxLength": LONGEST_TEXT}},
            "storage": text("Where it is kept. Cannot be changed.", enum=["file", "memory"]),
            "retention": text("What goes when. Cannot be changed.", enum=["limits", "interest", "workqueue"]),
            "discard": text("What gives way to what is new, or new messages themselves.", enum=["old", "new"]),
            "compression": text("On the disk.", enum=["none", "s2"]),
            "maxMessages": number | {"description": "-1: any number."},
            "maxMessagesPerSubject": number | {"description": "-1: any number."},
            "maxBytes": number | {"description": "-1: any number."},
            "maxMessageBytes": number | {"description": "-1: the gateway's own limit."},
            "maxConsumers": number | {"description": "-1: the gateway's own limit."},
            "maxAgeSeconds": {"type": "number", "minimum": 0, "description": "0: for ever."},
            "duplicateWindowSeconds": {"type": "number", "minimum": 0, "description": "0: the gateway's default."},
            "options": free("More keys of a stream, as JetStream's API spells them."),
            "keep": flag("Whether the stream and what is in it stay when the object is deleted; true if left out."),
        },
    )


def _status() -> Schema:
    condition = table(
        "Whether something holds.",
        {
            "type": text("Ready."),
            "status": text("True, False or Unknown."),
            "reason": text("A word for programs."),
            "message": text("A sentence."),
            "lastTransitionTime": text("Since when.", format="date-time"),
            "observedGeneration": whole("Of the spec that it is said of."),
        },
    )
    schema = table("What became of it.", {"conditions": {"type": "array", "items": condition, "maxItems": 8}})
    return schema | {"x-kubernetes-preserve-unknown-fields": True}


SHORT_NAMES = {GATEWAY: "lgw", ACCOUNT: "lacc", USER: "lusr", UPLINK: "lup", BRIDGE: "lbr", STREAM: "lstr"}


def definition(kind: Kind, spec: Schema) -> Schema:
    """The CustomResourceDefinition of a kind."""
    shown: list[Schema] = [] if kind is GATEWAY else [_column("Gateway", ".spec.gateway")]
    shown += [
        _column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        _column("Message", '.status.conditions[?(@.type=="Ready")].message'),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    names = {"kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural, "singular": kind.name.lower()}
    # Names of hosts come out of this one.
    short: Schema = {"metadata": {"type": "object", "properties": {"name": NAME}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names | {"shortNames": [SHORT_NAMES[kind]], "categories": ["leafgate"]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": shown,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {"spec": spec, "status": _status()} | short,
                        }
                    },
                }
            ],
        },
    }


def _column(name: str, path: str, kind: str = "string") -> Schema:
    return {"name": name, "type": kind, "jsonPath": path}


def definitions() -> list[Schema]:
    specs = {GATEWAY: _gateway(), ACCOUNT: _account(), USER: _user()}
    specs |= {UPLINK: _uplink(), BRIDGE: _bridge(), STREAM: _stream()}
    return [definition(kind, spec) for kind, spec in specs.items()]


def main() -> None:
    print("# Made by `make crds`.")
    for one in definitions():
        # Without anchors: a part that stands twice is written twice.
        print("---", yaml.dump(json.loads(json.dumps(one)), sort_keys=False, width=120, allow_unicode=True), sep="\n")


if __name__ == "__main__":
    main()
