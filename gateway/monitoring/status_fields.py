"""How a part that has a name is told of in JSON: by its status, but for the fault, which is /healthz's."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.monitoring.report import Fields
from gateway.monitoring.time_text import timestamp

if TYPE_CHECKING:
    from gateway.bridges.status import BridgeStatus
    from gateway.forwarding.status import BufferStatus
    from gateway.integrations.status import IntegrationStatus
    from gateway.uplink.status import LinkStatus


def status_fields(status: "BridgeStatus | BufferStatus | IntegrationStatus | LinkStatus") -> Fields:
    return {
        name: timestamp(value) if isinstance(value, datetime) else value
        for name, value in asdict(status).items()
        if name != "fault"
    }
