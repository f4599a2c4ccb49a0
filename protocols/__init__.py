"""Wire protocols, sans I/O: bytes in, messages and events out. No sockets, no clock, no disk, no log."""
