"""Links to upstream NATS clusters."""
