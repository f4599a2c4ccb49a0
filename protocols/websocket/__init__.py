"""WebSocket (RFC 6455) upgrade and frames, server role."""
