"""Devices on serial lines: found, opened, brought onto the subject space."""
