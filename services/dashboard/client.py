"""What the dashboard asks the services, and what can go wrong.

Belongs here: requests, and errors by what a viewer can do about them. Does not belong here: what is
kept for how long (`services.dashboard.data`), and how an error looks (`services.dashboard.states`).
"""

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

import httpx

from pollux.runtime.settings import Settings
from services.common.addresses import api_url, events_url, scoring_url
from services.common.problems import TYPE_PREFIX

SECONDS = 10.0
KEEP_ALIVE_SECONDS = 60.0
CONNECTIONS = 32

Parameters = Mapping[str, str | int | float | bool]


class Service(Enum):
    """A service that pages ask, by its name in words."""

    API = "API"
    EVENTS = "event service"
    SCORER = "scorer"


class Trouble(Enum):
    """What is wrong, by what a viewer can do about it."""

    AWAY = "the service does not answer"
    NOT_READY = "the service answers, and cannot do more yet"
    ENDING = "the service was told to end, and still answers"
    NOTHING_RELEASED = "no release exists yet"
    NOT_FOUND = "there is no such thing"
    KEY_REFUSED = "the service wants a key, or another"
    SCOPE_MISSING = "the key opens other things than this"
    REFUSED = "the request cannot be accepted"
    FAILED = "the service failed"


KINDS = {
    TYPE_PREFIX + "nothing-released": Trouble.NOTHING_RELEASED,
    TYPE_PREFIX + "ending": Trouble.ENDING,
}
STATUSES = {
    HTTPStatus.UNAUTHORIZED: Trouble.KEY_REFUSED,
    HTTPStatus.FORBIDDEN: Trouble.SCOPE_MISSING,
    HTTPStatus.NOT_FOUND: Trouble.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS: Trouble.NOT_READY,
    HTTPStatus.SERVICE_UNAVAILABLE: Trouble.NOT_READY,
}


class ServiceError(Exception):
    """A service did not give what a page asked for; its text is the problem's detail."""

    def __init__(self, service: Service, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.service = service
        self.trouble = trouble
        self.detail = detail


class Client:
    """Connections to the services, kept open and shared by all viewers."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self.urls = {
            Service.API: api_url(settings),
            Service.EVENTS: events_url(settings),
            Service.SCORER: scoring_url(settings),
        }
        self._http = httpx.Client(
            transport=transport,
            timeout=SECONDS,
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
            # Proxies are for other machines.
            trust_env=False,
        )

    def ask(
        self,
        service: Service,
        path: str,
        parameters: Parameters | None = None,
        *,
        key: str | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
    ) -> httpx.Response:
        """The answer to a GET, or to a POST where there is a body; raises `ServiceError`."""
        headers = {"Accept": accept} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        try:
            answer = self._http.request(
                "GET" if body is None else "POST",
                self.urls[service] + path,
                params=dict(parameters or {}),
                json=body,
                headers=headers,
            )
        except (httpx.TransportError, UnicodeEncodeError) as error:
            raise _unanswered(service, error) from error
        if not answer.is_success:
            raise _problem(service, answer)
        return answer


def _unanswered(service: Service, error: Exception) -> ServiceError:
    if isinstance(error, UnicodeEncodeError):
        return ServiceError(service, Trouble.KEY_REFUSED, "A key has letters and digits only.")
    return ServiceError(service, Trouble.AWAY, str(error) or type(error).__name__)


def _problem(service: Service, answer: httpx.Response) -> ServiceError:
    try:
        problem = answer.json()
        kind, detail = str(problem["type"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        kind, detail = "", f"It answered with status {answer.status_code}."
    if kind in KINDS:
        return ServiceError(service, KINDS[kind], detail)
    is_server = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    other = Trouble.FAILED if is_server else Trouble.REFUSED
    known = {int(status): trouble for status, trouble in STATUSES.items()}
    return ServiceError(service, known.get(answer.status_code, other), detail)
