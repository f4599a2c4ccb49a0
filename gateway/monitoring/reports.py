"""The reports: what there is to tell, by the name that HTTP and requests to the system account have for each."""

from collections.abc import Awaitable, Callable

from gateway.monitoring.absent import gatewayz, routez
from gateway.monitoring.accountz import accountz, accstatz
from gateway.monitoring.jsz import jsz
from gateway.monitoring.leafz import leafz
from gateway.monitoring.report import Fields
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.subsz import subsz
from gateway.monitoring.varz import varz

# From snapshots and the parameters of a query. Raises ParameterError.
Report = Callable[[SnapshotProvider, dict[str, str]], Awaitable[Fields]]

REPORTS: dict[str, Report] = {
    "varz": varz,
    "subsz": subsz,
    "leafz": leafz,
    "accountz": accountz,
    "accstatz": accstatz,
    "jsz": jsz,
    "routez": routez,
    "gatewayz": gatewayz,
}
