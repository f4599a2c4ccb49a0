"""What MQTT clients mean: sessions, queues, retained messages."""
