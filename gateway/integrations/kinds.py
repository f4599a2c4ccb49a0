"""Kinds: which integration a configuration is for. Each is imported where it is configured."""

from gateway.integrations.integration import Integration
from gateway.integrations.site import Site
from gateway.settings.integration import Integration as IntegrationKeys
from gateway.settings.kafka import Kafka


def make_integration(site: Site, config: IntegrationKeys) -> Integration:
    if isinstance(config, Kafka):
        from gateway.integrations.kafka.kafka import KafkaIntegration

        return KafkaIntegration(site, config)
    raise NotImplementedError(config.kind)
