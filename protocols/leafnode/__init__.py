"""Leafnode protocol, spoke role."""
