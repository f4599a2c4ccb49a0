"""Guard: who may look. HTTP's Basic authentication (RFC 7617), answered by whoever lets peers in at the other doors."""

import base64
import binascii
import logging
from collections.abc import Sequence

from gateway.accounts.admission import LINES_PER_MINUTE, Admission
from gateway.accounts.identity import Credentials, Identity, Refusal
from gateway.monitoring.http_server import Response, text_response
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime

log = logging.getLogger("leafgate.monitoring")

CHALLENGE = (("WWW-Authenticate", 'Basic realm="leafgate", charset="UTF-8"'),)
SCHEME = "basic"


class Guard:
    """Lets only some of the users look, whom `monitoring.users` names; everybody where it names none."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self._runtime = runtime
        self._admission = admission

    async def refusal(self, authorization: Sequence[bytes], address: str) -> Response | None:
        """The answer for somebody who may not look; None for whom there is another. `authorization` are the fields of
        that name in the request.
        """
        users = self._runtime.settings.config.monitoring.users
        if not users:
            return None
        if not authorization:  # As browsers ask at first.
            return text_response(401, "who looks?", CHALLENGE)
        login = login_in(authorization[0]) if len(authorization) == 1 else None
        if login is None:
            return self._refuse("no Basic authentication", "", address)
        user, password = login
        said = Credentials(kind="monitoring", user=user, password=password, address=address)
        asked = self._admission.admit(said)
        decision = asked if isinstance(asked, Identity | Refusal) else await asked
        if isinstance(decision, Refusal):
            return self._refuse(decision.reason, user, address)
        if decision.user != user or user not in users:
            return self._refuse("the user may not look", user, address, 403)
        return None

    def _refuse(self, reason: str, user: str, address: str, status: int = 401) -> Response:
        text = "event=refused kind=monitoring peer=%s user=%s reason=%r"
        name = shown(user.encode("utf-8", "replace"))
        key = ("refused", address)
        repeats = self._runtime.repeats
        repeats.log(log, logging.WARNING, key, text, address, name, reason, allowance=LINES_PER_MINUTE)
        if status == 403:
            return text_response(status, "not for this user")
        return text_response(status, "no such user, or another password", CHALLENGE)


def login_in(field: bytes) -> tuple[str, bytes] | None:
    """User and password of a field Authorization; None where it holds none."""
    scheme, _, encoded = field.decode("latin-1").strip(" \t").partition(" ")
    if scheme.lower() != SCHEME:
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(" "), validate=True).partition(b":")
        return (user.decode(), password) if colon and user else None
    except (binascii.Error, ValueError):
        return None
