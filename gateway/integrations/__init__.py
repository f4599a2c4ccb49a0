"""Integrations: what brings messages into other systems and takes them from there."""
