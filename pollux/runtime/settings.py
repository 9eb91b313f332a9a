"""Settings of an installation, read from `POLLUX_…` variables.

Belongs here: every setting with that prefix, its default and meaning. Does not belong here: the
names without it that shops already use (`services/events/settings`).
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_DIR = Path(__file__).resolve().parents[2]

MINUTES_OF_A_YEAR = 366 * 24 * 60

Engine = Literal["duckdb", "postgres", "spark"]
# How long something is kept.
Days = Annotated[int, Field(ge=1, le=36_500)]

# DuckDB reads them as patterns or quotes, PostgreSQL as separators in a list of folders.
UNSAFE_IN_PATH = set("'\"(){}[]*?,$\n")

# Also "*", and "*.example.com" for all names below one.
HOST_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
ORIGIN = re.compile(
    r"\*|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII
)
# Browsers leave them out.
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# Not /v1, with which the API's own paths begin.
PREFIX = re.compile(r"(?!/v1(/|$))(/[A-Za-z0-9._~-]+)+", re.ASCII)

# Of Standard Webhooks, which also says how long a secret is.
SECRET_PREFIX = "whsec_"  # noqa: S105 - no secret
SECRET_BYTES = range(24, 65)

# Spark takes some other characters of a path for escapes or patterns.
OBJECT_PATH = re.compile(r"[A-Za-z0-9._/-]+")


def is_object_store(url: str) -> bool:
    """Whether an address is that of an object store, and not of a folder."""
    return url.startswith("s3a://")


def address_of(url: str) -> str:
    """The address as Spark knows it: what is behind a ? is for Pollux; empty for no address."""
    return url.partition("?")[0].rstrip("/") if is_object_store(url) else url


def _folder(url: str) -> Path | None:
    return Path(url) if url and not is_object_store(url) else None


class Settings(BaseSettings):
    """One installation: a data folder, an engine, a serving database, an API.

    Raises `pydantic.ValidationError` naming the variable when a value cannot be read.
    """

    model_config = SettingsConfigDict(
        env_prefix="POLLUX_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        # URLs and keys would be shown.
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(
        default=Path("data"),
        description="Folder of everything the installation keeps: landing, warehouse, releases, "
        "models, embedded PostgreSQL, logs.",
    )
    engine: Engine = Field(
        default="duckdb", description="Engine that builds the marts: duckdb, postgres or spark."
    )
    spark_remote: SecretStr | None = Field(
        default=None,
        description="Spark Connect server that engine spark builds with, as sc://host:15002; "
        "without it a server runs on this machine for the data folder.",
    )
    lake_url: str = Field(
        default="",
        description="Folder or s3a://bucket/path, of this installation alone, that engine spark "
        "writes its builds to; without it lake in the data folder. Every machine of a cluster must "
        "see it at this path.",
    )
    landing_url: str = Field(
        default="",
        description="Folder of the landing zone, for engine spark, or s3a://bucket/path that a "
        "build copies it to; without it landing in the data folder. Every machine of a cluster "
        "must see it at this path.",
    )
    study: str = Field(
        default="",
        description="Study whose days household analytics look at: complete_journey, the published "
        "one, which the sample has unless you set another. Without a study the window ends with "
        "the last complete day of your data.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL (15 or newer) to serve from, as postgresql://…; without it an "
        "embedded server runs for the data folder.",
    )
    reader_url: SecretStr | None = Field(
        default=None,
        description="URL that services connect with, where Pollux may not create its "
        "read-only role.",
    )
    events_database_url: SecretStr | None = Field(
        default=None,
        description="URL that the event service writes with, past any pooler, where Pollux may not "
        "create its role pollux_events.",
    )
    api_host: str = Field(
        default="127.0.0.1",
        description="Address that the API, the scorer and the event service listen on.",
    )
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    root_path: str = Field(
        default="",
        description="Path prefix under which a proxy shows the API, such as /pollux; without it "
        "the proxy's X-Forwarded-Prefix counts.",
    )
    scoring_port: int = Field(
        default=8001, ge=1, le=65535, description="Port the scorer listens on."
    )
    events_port: int = Field(
        default=8002,
        ge=1,
        le=65535,
        description="Port of the event service's offers, health, metrics and mock endpoints.",
    )
    live_port: int = Field(
        default=8003,
        ge=1,
        le=65535,
        description="Port of the health and metrics of the process that computes live rows.",
    )
    dashboard_host: str = Field(
        default="127.0.0.1", description="Address that the dashboard listens on."
    )
    dashboard_port: int = Field(
        default=8501, ge=1, le=65535, description="Port the dashboard listens on."
    )
    broker_port: int = Field(
        default=1883,
        ge=1,
        le=65535,
        description="Port on 127.0.0.1 of the MQTT broker that pollux up runs where MQTT_HOST is "
        "not set.",
    )
    broker_tls: bool = Field(
        default=False,
        description="true: the broker that pollux up runs takes encrypted connections only.",
    )
    api_url: str | None = Field(
        default=None,
        description="Where the dashboard reaches the API, as http://…; without it this machine, at "
        "POLLUX_API_PORT.",
    )
    events_url: str | None = Field(
        default=None,
        description="Where the dashboard and pollux demo-store reach the event service, as "
        "http://…; without it this machine, at POLLUX_EVENTS_PORT.",
    )
    scoring_url: str | None = Field(
        default=None,
        description="Where the event service and the dashboard reach the scorer, as http://…; "
        "without it this machine, at POLLUX_SCORING_PORT.",
    )
    scoring_key: SecretStr | None = Field(
        default=None,
        description="Bearer key that the event service sends to the scorer, where that requires "
        "keys; a scorer that has the setting, too, accepts it.",
    )
    coupon_threshold: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Likelihood of use (0 to 1) above which a focus event is answered with a "
        "coupon.",
    )
    coupon_cooldown_minutes: float = Field(
        default=0.0,
        ge=0,
        le=MINUTES_OF_A_YEAR,
        description="How long a coupon is not offered again to the same customer; 0 is no limit.",
    )
    answer_every_focus: bool = Field(
        default=False,
        description="true: a focus event without an offer is answered, too, with the reason.",
    )
    answer_details: bool = Field(
        default=False,
        description="true: coupon predictions also have likelihood, threshold, model and release, "
        "and send back the event-id.",
    )
    answer_compact: bool = Field(
        default=False,
        description="true: coupon predictions have a link instead of the coupon's products.",
    )
    answer_topic_per_customer: bool = Field(
        default=False,
        description="true: each coupon prediction goes to a topic of its customer, below the "
        "usual one.",
    )
    answer_response_topics: str = Field(
        default="",
        description="What a Response Topic (MQTT 5) must begin with, such as shop/reply/, for the "
        "answer to go there; without it Response Topics are not used.",
    )
    events_retention_days: Days = Field(
        default=30,
        description="How long the event service keeps keys of events it has seen and messages it "
        "has published; what they led to stays.",
    )
    events_takeover_seconds: float = Field(
        default=60,
        ge=0,
        description="How long a worker of the event service may be away before another takes what "
        "waits for it.",
    )
    store_timezone: str = Field(
        default="Europe/Berlin",
        description="Time zone of the shop (IANA name): it says on which day an event was.",
    )
    api_keys: str = Field(
        default="",
        description="SHA-256 hashes (hex, comma-separated) of the bearer keys that the API, the "
        "scorer and the event service accept with all scopes, besides those of pollux keys.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Names (comma-separated) that a request's Host may have, besides local ones, "
        "the name of this machine, those in the settings of hosts and URLs of services, and any "
        "address; *.example.com for all below one, * for any.",
    )
    cors_origins: str = Field(
        default="",
        description="Origins (comma-separated, as https://shop.example) whose pages may call the "
        "API, the scorer and the event service from a browser; * for any.",
    )
    receive_seconds: float = Field(
        default=10, gt=0, description="How long a request may take to arrive, head and body."
    )
    answer_seconds: float = Field(
        default=30,
        gt=0,
        description="How long an answer may take to begin; one that has begun goes on.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="How long a service that is told to end goes on answering, while its /readyz "
        "answers 503; for services behind a proxy.",
    )
    connections_per_address: int = Field(
        default=256,
        ge=0,
        description="Connections that one address may hold to a service; 0 is any number, for "
        "services behind a proxy.",
    )
    log_requests: bool = Field(
        default=False,
        description="true: a line of JSON for each request, on the standard output of its service.",
    )
    api_cache_mb: int = Field(
        default=64, ge=0, description="Memory for answers of the current release, MiB; 0 is none."
    )
    dagster_host: str = Field(
        default="127.0.0.1",
        description="Address that Dagster's web page listens on. It has no login: any but a "
        "loopback one is for a proxy that has.",
    )
    dagster_port: int = Field(
        default=3000, ge=1, le=65535, description="Port of Dagster's web page."
    )
    dagster_read_only: bool = Field(
        default=False,
        description="true: Dagster's web page shows everything and changes nothing.",
    )
    run_max_minutes: int = Field(
        default=120,
        ge=1,
        description="How long a run of Dagster may take before it is ended as hung.",
    )
    run_retention_days: Days = Field(
        default=30, description="How long Dagster remembers runs and their events."
    )
    rejects_retention_days: Days = Field(
        default=90,
        description="How long the text of rejected rows is kept, and files that failed to load.",
    )
    landing_retention_days: Days | None = Field(
        default=None,
        description="How long data of files with a day in their names are kept after that day: "
        "their parts in the landing zone, their rejects, the files in inbox/loaded; without it, "
        "for good.",
    )
    dead_letters_retention_days: Days = Field(
        default=90,
        description="How long messages that the event service could not read wait for somebody to "
        "resolve them.",
    )
    decisions_retention_days: Days | None = Field(
        default=None,
        description="How long the event service's decisions are kept, and what has landed of them; "
        "without it, for good.",
    )
    logs_retention_days: Days = Field(
        default=30, description="How long a line of a log is kept at most."
    )
    alert_webhook: SecretStr | None = Field(
        default=None,
        description="URL that failed runs are posted to as JSON, besides the line in "
        "logs/alerts.log.",
    )
    release_webhooks: SecretStr | None = Field(
        default=None,
        description="URLs (comma-separated) that every release and rollback is posted to, signed.",
    )
    release_webhook_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Secret (whsec_…) that signs what POLLUX_RELEASE_WEBHOOKS are sent; several, "
        "comma-separated, while it is replaced.",
    )
    lock_timeout_seconds: float = Field(
        default=60,
        ge=0,
        description="How long to wait for the warehouse while another process holds it.",
    )
    reject_limit_percent: float = Field(
        default=1.0, ge=0, le=100, description="Share of a file's rows that may be rejected."
    )

    @field_validator("decisions_retention_days")
    @classmethod
    def _covers_cooldown(cls, value: int | None, others: ValidationInfo) -> int | None:
        if value is not None and value * 24 * 60 < others.data.get("coupon_cooldown_minutes", 0):
            raise ValueError(
                "must be no shorter than POLLUX_COUPON_COOLDOWN_MINUTES: decisions say what was "
                "offered lately"
            )
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        folder = value.expanduser().resolve()
        if refused := sorted(UNSAFE_IN_PATH & set(str(folder))):
            raise ValueError(
                f"{folder} contains {' '.join(refused)}, which Pollux cannot use in a path"
            )
        return folder

    @field_validator("spark_remote")
    @classmethod
    def _connect_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_connect_address(value.get_secret_value()):
            raise ValueError(
                "must be the address of a Spark Connect server, as sc://host:15002, or "
                "sc://host:443/;use_ssl=true;token=…"
            )
        return value

    @field_validator("lake_url", "landing_url")
    @classmethod
    def _shared_folder(cls, value: str, others: ValidationInfo) -> str:
        if not value:
            return value
        if others.field_name == "landing_url" and others.data.get("engine") != "spark":
            raise ValueError(
                "only POLLUX_ENGINE=spark reads a landing zone outside of the data folder"
            )
        if is_object_store(value):
            return cls._object_store(value, others)
        scheme, separator, path = value.partition("://")
        if separator and scheme != "file":
            raise ValueError(
                f"{scheme}:// is not supported: only s3a:// is, and a folder, of this machine or "
                "shared by those of a cluster, as /mnt/shared or file:///mnt/shared"
            )
        folder = Path(path if separator else value)
        if not folder.is_absolute():
            raise ValueError(f"{value} must be a whole path, since other machines look there, too")
        return str(cls._absolute(folder))

    @staticmethod
    def _object_store(value: str, others: ValidationInfo) -> str:
        parts = urlsplit(value)
        if "@" in parts.netloc:
            raise ValueError("keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        if not parts.netloc or not parts.path.strip("/"):
            raise ValueError(
                "an object store is named with its bucket and a path there, as in s3a://bucket/path"
            )
        if not OBJECT_PATH.fullmatch(parts.path):
            raise ValueError("a path in a bucket has only letters, digits, and . _ - / here")
        lake = others.data.get("lake_url", "") if others.field_name == "landing_url" else ""
        ends = sorted(f"{address_of(one)}/" for one in (value, lake) if is_object_store(one))
        if ends[-1].startswith(ends[0]) and len(ends) > 1:
            raise ValueError(
                "POLLUX_LANDING_URL and POLLUX_LAKE_URL may not be one inside the other: what is "
                "not of the one would be removed"
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        prefix = value.rstrip("/")
        if prefix and not PREFIX.fullmatch(prefix):
            raise ValueError(f"{value} is no path prefix, as /pollux is one")
        return prefix

    @field_validator("answer_response_topics")
    @classmethod
    def _topic_prefix(cls, value: str) -> str:
        if value.startswith("$") or set("+#\0") & set(value):
            raise ValueError(
                "a topic begins with no $ and holds none of the wildcards + and #, "
                "as in shop/reply/"
            )
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        names = [name.strip().lower() for name in value.split(",") if name.strip()]
        for name in names:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"{name} is not a host name such as shop.example or *.shop.example, without "
                    "scheme and port"
                )
        return ",".join(names)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        origins = [origin.strip().lower() for origin in value.split(",") if origin.strip()]
        for origin in origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not an origin such as https://shop.example or "
                    "http://localhost:5173, without a path"
                )
        return ",".join(
            origin.removesuffix(DEFAULT_PORTS.get(origin.partition(":")[0], "")) or origin
            for origin in origins
        )

    @field_validator("store_timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(f"{value} is not a time zone such as Europe/Berlin") from None
        return value

    @field_validator("release_webhooks")
    @classmethod
    def _urls(cls, value: SecretStr | None) -> SecretStr | None:
        for url in [] if value is None else value.get_secret_value().split(","):
            if not _is_url(url.strip()):
                raise ValueError(
                    "must be URLs such as https://shop.example/hook, without user and password, "
                    "separated by commas"
                )
        return value

    @field_validator("release_webhook_secret")
    @classmethod
    def _secrets(cls, value: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if value is None:
            if others.data.get("release_webhooks") is not None:
                raise ValueError("must be set, too, where POLLUX_RELEASE_WEBHOOKS is")
            return None
        for secret in value.get_secret_value().split(","):
            if not _is_secret(secret.strip()):
                raise ValueError(
                    f"must be {SECRET_PREFIX} and the base64 of {SECRET_BYTES.start} to "
                    f"{SECRET_BYTES.stop - 1} random bytes"
                )
        return value

    @property
    def landing_dir(self) -> Path:
        """Folder of the landing zone: `<domain>/<dataset>/<part>.parquet`."""
        return _folder(self.landing_url) or self.data_dir / "landing"

    @property
    def lake_dir(self) -> Path:
        """Folder of the builds of engine `spark`: `<dbt invocation>/<schema>/<table>/`."""
        return _folder(self.lake_url) or self.data_dir / "lake"

    @property
    def spark_landing(self) -> str:
        """Where Spark reads what has landed: the landing zone, or its copy in an object store."""
        return address_of(self.landing_url) or str(self.landing_dir)

    @property
    def spark_lake(self) -> str:
        """Where Spark writes builds: the lake, or the place that they are fetched from."""
        return address_of(self.lake_url) or str(self.lake_dir)

    @property
    def rejects_dir(self) -> Path:
        """Folder of rejected rows: `<domain>/<dataset>/<part>.csv`."""
        return self.data_dir / "rejects"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that engine `duckdb` builds in."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def releases_dir(self) -> Path:
        """Folder of releases kept as Parquet: `<domain>/r<number>/<table>.parquet`."""
        return self.data_dir / "releases"

    @property
    def inbox_dir(self) -> Path:
        """Folder of files to load: `<domain>/<file>`; they move on to `loaded` or `failed`."""
        return self.data_dir / "inbox"

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster: its configuration, the manifest it shows, logs of its runs."""
        return self.data_dir / "dagster"

    @property
    def keys_dir(self) -> Path:
        """Folder of the keys of the services: `keys.json`, and when each was used."""
        return self.data_dir / "keys"

    @property
    def logs_dir(self) -> Path:
        """Folder of logs."""
        return self.data_dir / "logs"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Raises where the port is no number.
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and " " not in text and "@" not in parts.netloc
    return is_whole and is_plain and parts.scheme in ("http", "https")


def _is_connect_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Raises where the port is no number.
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    has_parameters_only = parts.path in ("", "/") or parts.path.startswith("/;")
    return is_whole and parts.scheme == "sc" and has_parameters_only


def _is_secret(text: str) -> bool:
    try:
        decoded = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(SECRET_PREFIX) and len(decoded) in SECRET_BYTES
