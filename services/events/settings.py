"""Settings of the event service: brokers and topics, under the names that shops know them by.

Belongs here: every variable without the prefix POLLUX_. Does not belong here: what the service
shares with the others (`pollux.runtime.settings`).
"""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pollux.runtime.errors import PolluxError

LOOPBACK = "127.0.0.1"
MAX_PORT = 65535
MAX_TOPIC = 1_000
# Brokers' rules are lines of text, in which names stand between blanks.
TOPIC = re.compile(rf"(?! )[^+#\x00-\x1f\x7f]{{1,{MAX_TOPIC}}}(?<! )")

CouponKind = Literal["entry", "focus"]
LoyaltyKind = Literal["loyalty", "conversion"]
# Of one session, whose messages are handled in their order.
OrderedKind = Literal[LoyaltyKind, "purchase"]
Kind = Literal[CouponKind, OrderedKind]


class EventSettingsError(PolluxError):
    """The event service may not start with these settings."""

    exit_code = 2


class MqttSettings(BaseSettings):
    """Where events come from and where answers go.

    Without `MQTT_HOST` the broker is the installation's own, and every topic has a default.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    mqtt_host: str | None = Field(
        default=None,
        description="Brokers, comma-separated, each a host or host:port, tried in turn; without it "
        "the broker that pollux up runs.",
    )
    mqtt_port: int | None = Field(
        default=None, ge=1, le=MAX_PORT, description="Port of the brokers; required with MQTT_HOST."
    )
    mqtt_username: str | None = Field(default=None, description="User name for the brokers.")
    mqtt_password: SecretStr | None = Field(default=None, description="Password for the brokers.")
    mqtt_broker_cert_file: str | None = Field(
        default=None,
        description="File of the certificates (PEM) that the brokers' are signed with; with it the "
        "connection is encrypted.",
    )
    mqtt_protocol: Literal["5", "3.1.1", "auto"] = Field(
        default="auto",
        description="MQTT version: 5, 3.1.1, or auto: 5, and 3.1.1 where the broker says that it "
        "does not know 5. On 3.1.1 there is one worker.",
    )
    entry_event_topic_name: str = Field(
        default="pollux/entry",
        description="Topic of entry events; required with MQTT_HOST.",
    )
    focus_event_topic_name: str = Field(
        default="pollux/focus",
        description="Topic of focus events; required with MQTT_HOST.",
    )
    coupon_prediction_topic_name: str = Field(
        default="pollux/coupon-prediction",
        description="Topic that coupon predictions are sent to; required with MQTT_HOST.",
    )
    loyalty_list_topic_name: str = Field(
        default="pollux/loyalty-list", description="Topic of rows of the loyalty list."
    )
    conversion_topic_name: str = Field(
        default="pollux/conversion", description="Topic of clicks, baskets and purchases."
    )
    purchase_topic_name: str = Field(
        default="pollux/purchase",
        description="Topic of purchases: households' baskets, and orders of the shop's customers.",
    )
    promo_code_topic_name: str = Field(
        default="pollux/promo-code",
        description="Topic that extra promo codes are sent to, as JSON.",
    )
    promo_code_line_topic_name: str = Field(
        default="pollux/promo-code-line",
        description="Topic on which every conversion is answered with a line of text.",
    )
    segment_changed_topic_name: str = Field(
        default="pollux/segment-changed",
        description="Topic that changes of households' segments are sent to; pollux serve live "
        "reads it.",
    )
    release_topic_name: str = Field(
        default="pollux/releases",
        description="Topic under which a retained message tells of each domain's current release, "
        "as …/store.",
    )
    testing_no_mqtt: bool = Field(
        default=False,
        description="true: no broker at all; events come by POST /mock_entry and /mock_focus.",
    )

    def brokers(self, own_port: int) -> tuple[tuple[str, int], ...]:
        """Host and port of every broker, in the order in which they are tried."""
        if self.mqtt_host is None:
            return ((LOOPBACK, own_port),)
        assert self.mqtt_port is not None  # noqa: S101 - read_mqtt_settings holds it
        return tuple(
            _address(text.strip(), self.mqtt_port)
            for text in self.mqtt_host.split(",")
            if text.strip()
        )

    def topics(self) -> Mapping[Kind, str]:
        """The topic that each kind of event comes on."""
        return {
            "entry": self.entry_event_topic_name,
            "focus": self.focus_event_topic_name,
            "loyalty": self.loyalty_list_topic_name,
            "conversion": self.conversion_topic_name,
            "purchase": self.purchase_topic_name,
        }


REQUIRED = (
    "mqtt_port",
    "entry_event_topic_name",
    "focus_event_topic_name",
    "coupon_prediction_topic_name",
)


def read_mqtt_settings() -> MqttSettings:
    """The settings of the environment; raises `EventSettingsError` naming what is wrong."""
    try:
        found = MqttSettings()
    except ValidationError as error:
        problems = (f"{str(p['loc'][0]).upper()}: {p['msg']}" for p in error.errors())
        raise EventSettingsError("\n".join(problems)) from None
    if found.mqtt_host is not None and not found.testing_no_mqtt:
        missing = [name.upper() for name in REQUIRED if name not in found.model_fields_set]
        if missing:
            raise EventSettingsError(f"MQTT_HOST is set, so {', '.join(missing)} must be set, too.")
        if not found.brokers(0):
            raise EventSettingsError("MQTT_HOST names no broker.")
    for name, value in found:
        if name.endswith("_topic_name") and not TOPIC.fullmatch(value):
            raise EventSettingsError(
                f"{name.upper()}: a topic holds 1 to {MAX_TOPIC} characters, none of the wildcards "
                "+ and #, no control character, and no blank at its ends."
            )
    topics = found.topics()
    if len(set(topics.values())) < len(topics):
        raise EventSettingsError(
            "Entry, focus, loyalty list, conversions and purchases need a topic each."
        )
    return found


def _address(text: str, port: int) -> tuple[str, int]:
    # An IPv6 address has several colons; in [::1]:1883, brackets show which is the port's.
    host, colon, own = text.rpartition(":")
    if colon and (":" not in host or host.endswith("]")):
        if not own.isdecimal() or not 1 <= int(own) <= MAX_PORT:
            raise EventSettingsError(f"MQTT_HOST: {text} has no port after its colon.")
        return host.strip("[]"), int(own)
    return text.strip("[]"), port
