#!/bin/sh
# Makes the broker's users from the environment, then starts it.
set -eu
umask 077
: > /tmp/passwords
mosquitto_passwd -b /tmp/passwords pollux "$MQTT_PASSWORD"
mosquitto_passwd -b /tmp/passwords sensors "$SENSORS_PASSWORD"
mosquitto_passwd -b /tmp/passwords readers "$READERS_PASSWORD"
# The image's user, to whom the broker changes.
chown mosquitto: /tmp/passwords
exec mosquitto -c /mosquitto/config/mosquitto.conf
