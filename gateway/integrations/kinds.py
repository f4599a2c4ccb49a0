"""Kinds: which integration a configuration is for. Each is imported where it is configured."""

from gateway.integrations.integration import Integration
from gateway.integrations.site import Site
from gateway.settings.fluent import Fluent
from gateway.settings.integration import Integration as IntegrationKeys
from gateway.settings.kafka import Kafka
from gateway.settings.modbus import Modbus
from gateway.settings.numbers import Influx, RemoteWrite
from gateway.settings.sparkplug import SparkplugHost, SparkplugNode


def make_integration(site: Site, config: IntegrationKeys) -> Integration:
    if isinstance(config, Kafka):
        from gateway.integrations.kafka.kafka import KafkaIntegration

        return KafkaIntegration(site, config)
    if isinstance(config, Fluent):
        from gateway.integrations.fluent.sender import FluentSender

        return FluentSender(site, config)
    if isinstance(config, RemoteWrite):
        from gateway.integrations.numbers.remote_write import RemoteWriter

        return RemoteWriter(site, config)
    if isinstance(config, Influx):
        from gateway.integrations.numbers.influx import InfluxWriter

        return InfluxWriter(site, config)
    if isinstance(config, Modbus):
        from gateway.integrations.modbus.modbus import ModbusIntegration

        return ModbusIntegration(site, config)
    if isinstance(config, SparkplugNode):
        from gateway.integrations.sparkplug.node import NodeIntegration

        return NodeIntegration(site, config)
    if isinstance(config, SparkplugHost):
        from gateway.integrations.sparkplug.host import HostIntegration

        return HostIntegration(site, config)
    raise NotImplementedError(config.kind)
