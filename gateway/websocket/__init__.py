"""A session in front of another: WebSocket frames around NATS or MQTT."""
