"""The leafgate daemon."""
