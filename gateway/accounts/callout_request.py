"""What a service is asked that says who peers are: nats-server's authorization request, in its words."""

import base64
import textwrap
from dataclasses import dataclass
from typing import Any

from gateway.accounts.identity import Credentials
from gateway.settings.security import PermissionRules, SubjectRule
from gateway.version import SPOKEN_VERSION

SUBJECT = "$SYS.REQ.USER.AUTH"
AUDIENCE = "nats-authorization-request"
# Where a sealed request says whose key sealed it.
XKEY_FIELD = b"Nats-Server-Xkey"
# What a client is in nats-server, by how it came.
CLIENT_TYPES = {
    "nats": "nats",
    "serial": "nats",
    "websocket": "websocket",
    "mqtt": "mqtt",
    "mqtt-websocket": "mqtt",
}
HIDDEN = "[REDACTED]"


@dataclass(frozen=True, slots=True)
class Asker:
    """The gateway, as the service sees it. `xkey` is the key by which it seals, if it does."""

    server_id: str
    server_name: str
    xkey: str = ""


def request_claims(asker: Asker, subject: str, user_key: str, credentials: Credentials, expires: int) -> dict[str, Any]:
    """The claims of a request for `subject` (an account's key, or that of the issuer whose answers count).

    `user_key` is the key of the user that the answer is to speak of, made for this request.
    """
    leaf = credentials.kind.startswith("leafnode")
    listener = credentials.listener
    body: dict[str, Any] = {
        "server_id": _without_empty(
            {
                "name": asker.server_name,
                "host": listener.host if listener is not None else "127.0.0.1",
                "id": asker.server_id,
                "version": SPOKEN_VERSION,
                "xkey": asker.xkey,
            }
        ),
        "user_nkey": user_key,
        "client_info": _without_empty(
            {
                "host": credentials.address,
                "id": credentials.connection,
                "user": raw_user(credentials),
                "name": credentials.name,
                "kind": "Leafnode" if leaf else "Client",
                "type": CLIENT_TYPES.get(credentials.kind, ""),
                "mqtt_id": credentials.client_id.decode("utf-8", "replace"),
                "nonce": credentials.nonce.decode("ascii", "replace") if credentials.signature else "",
            }
        ),
        "connect_opts": _without_empty(
            {
                "jwt": credentials.jwt,
                "nkey": credentials.nkey,
                "sig": credentials.signature,
                "auth_token": credentials.token,
                "user": credentials.user,
                "pass": credentials.password.decode("utf-8", "replace"),
                "name": credentials.name,
                "lang": credentials.lang,
                "version": credentials.version,
            }
        )
        | {"protocol": credentials.protocol},
        "type": "authorization_request",
        "version": 2,
    }
    if credentials.certificate:
        body["client_tls"] = {"verified_chains": [[to_pem(credentials.certificate)]]}
    return {"aud": AUDIENCE, "exp": expires, "sub": subject, "nats": body}


def raw_user(credentials: Credentials) -> str:
    """What a peer calls itself."""
    if credentials.nkey:
        return credentials.nkey
    if credentials.user or credentials.jwt:
        return credentials.user
    return HIDDEN if credentials.token else ""


def to_pem(certificate: bytes) -> str:
    """A certificate in PEM."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(certificate).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def without_requests(rules: PermissionRules | None) -> PermissionRules:
    """The same rights, but that of asking the service: in its account nobody does that but the gateway."""
    rules = rules or PermissionRules()
    publish = rules.publish
    if publish is None:  # Where answers may be published, nothing else may be.
        publish = SubjectRule(allow=() if rules.allow_responses else None)
    return PermissionRules(
        publish=SubjectRule(allow=publish.allow, deny=(*publish.deny, SUBJECT)),
        subscribe=rules.subscribe,
        allow_responses=rules.allow_responses,
    )


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
