"""Leafnode protocol, both roles."""
