"""Serial ports: finding, opening and configuring them; what devices say over them is `gateway.devices`."""
