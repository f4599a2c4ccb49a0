"""Kinds of objects in a cluster, by which their places in the API are known."""

from typing import NamedTuple

GROUP = "leafgate.io"
VERSION = "v1alpha1"


class Kind(NamedTuple):
    """`plural` is how paths of the API call it; "" is the group of what every cluster has."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "") -> str:
        """Of one object, or of all in a namespace; "" is all namespaces."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{name}" if name else "")


GATEWAY = Kind("Gateway", "gateways", GROUP, VERSION)
ACCOUNT = Kind("Account", "accounts", GROUP, VERSION)
USER = Kind("User", "users", GROUP, VERSION)
UPLINK = Kind("Uplink", "uplinks", GROUP, VERSION)
BRIDGE = Kind("Bridge", "bridges", GROUP, VERSION)
STREAM = Kind("Stream", "streams", GROUP, VERSION)
# In the order in which they are put into a configuration: what is named by others comes first.
PARTS = (ACCOUNT, USER, UPLINK, BRIDGE)

CONFIG_MAP = Kind("ConfigMap", "configmaps")
SECRET = Kind("Secret", "secrets")
SERVICE = Kind("Service", "services")
STATEFUL_SET = Kind("StatefulSet", "statefulsets", "apps")
