"""Bridges to MQTT brokers upstream."""
