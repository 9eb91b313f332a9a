"""What goes to and comes from an MQTT broker."""
