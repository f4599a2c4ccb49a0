"""Host tools that put the MicroPython client on a board."""
