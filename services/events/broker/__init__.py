"""Messages to and from an MQTT broker."""
