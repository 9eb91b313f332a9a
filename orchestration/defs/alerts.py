"""Sends alerts: a line in a log file, and a POST to a webhook."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime

from pollux.runtime.settings import Settings

WEBHOOK_SECONDS = 10


def alert(settings: Settings, text: str, details: Mapping[str, str]) -> str | None:
    """Sends an alert; returns why the webhook failed, None if it took the alert or is not set."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    line = " | ".join(part.strip() for part in text.splitlines() if part.strip())
    with (settings.logs_dir / "alerts.log").open("a", encoding="utf-8") as log:
        log.write(f"{at} {line}\n")
    if settings.alert_webhook is None:
        return None
    # Most chat programs read only `text`.
    content = json.dumps({"text": text, "at": at, **details}).encode()
    try:
        request = urllib.request.Request(  # noqa: S310
            settings.alert_webhook.get_secret_value(),
            data=content,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS):  # noqa: S310
            return None
    except (urllib.error.URLError, OSError, ValueError) as error:
        # Not the URL: it may hold a secret.
        reason = getattr(error, "reason", type(error).__name__)
        return f"The webhook of POLLUX_ALERT_WEBHOOK did not take the alert: {reason}"
