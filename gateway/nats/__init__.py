"""What NATS peers mean: clients, and leafnode links."""
