"""Kinds: which integration a configuration is for. Each is imported where it is configured."""

from gateway.integrations.integration import Integration
from gateway.integrations.site import Site
from gateway.settings.integration import Integration as IntegrationKeys


def make_integration(site: Site, config: IntegrationKeys) -> Integration:
    raise NotImplementedError(config.kind)
