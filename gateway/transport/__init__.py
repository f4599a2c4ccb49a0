"""Connections: bytes from and to peers, whatever carries them."""
