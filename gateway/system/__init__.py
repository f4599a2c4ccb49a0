"""What the gateway tells of itself on subjects: requests, events, and mosquitto's topics."""
