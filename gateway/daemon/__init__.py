"""The process: what surrounds its loop, the life of the gateway on it, and the parts that a configuration asks for."""
