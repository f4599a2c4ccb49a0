"""Sparkplug B: payloads, topics, and what edge nodes and host applications keep of a conversation; no I/O."""
