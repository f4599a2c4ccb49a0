"""The name under which Python's `-m` finds the command where it is installed; everything else is in `gateway`."""
