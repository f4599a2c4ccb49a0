"""Renewal: everybody who is there is looked at again once users, permissions or accounts have changed."""

import logging
import time

import trio

from gateway.accounts.admission import Admission
from gateway.accounts.identity import Identity, Member
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import TURN_SECONDS
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry
from protocols.close_reason import CloseReason

log = logging.getLogger("leafgate.admission")


async def renew_everybody(runtime: Runtime, registry: Registry, admission: Admission) -> None:
    """Give everybody the rights that he has now, and part with those who may not be here any more. Peers are served in
    between.
    """
    until = time.monotonic() + TURN_SECONDS
    for connection in list(registry.open.values()):
        if connection.close_reason is None:
            try:
                renew(connection, admission)
            except Exception:
                # Nobody keeps rights that may be gone.
                log.exception("cid=%d event=renewal-failed", connection.cid)
                connection.abort(CloseReason.INTERNAL_ERROR)
        if time.monotonic() > until:
            runtime.switch.flush()
            await trio.lowlevel.checkpoint()
            until = time.monotonic() + TURN_SECONDS
    runtime.switch.flush()


def renew(connection: Connection, admission: Admission) -> None:
    """Look at one peer again."""
    session = connection.session
    if not isinstance(session, Member) or session.identity is None:
        return
    before = session.identity
    decision = admission.renew(before)
    if not isinstance(decision, Identity):
        session.identity_lost(decision)
    elif decision != before:
        session.identity_changed(decision)
