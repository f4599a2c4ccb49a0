"""HTTP endpoints that tell how the gateway is."""
