"""The client of the coupon scorer (`services.scoring`): requests, and which model answers."""

import logging
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
import orjson

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from services.common.addresses import scoring_url

MODEL_HEADER = "X-Pollux-Model"
SECONDS = 5.0
# An offer is only worth something while the customer is still there.
SILENT_SECONDS = 10.0
CONNECTIONS = 8

log = logging.getLogger("pollux.events")


class ScorerRefusesError(PolluxError):
    """The scorer does not accept our key, or does not answer under the name that we know it by."""

    exit_code = 2


class ScorerUnavailableError(Exception):
    """The scorer does not answer; it may recover."""


class NoModelYetError(Exception):
    """The scorer answers that it has no model."""


class Explained(NamedTuple):
    """A coupon, the model, its prediction, and what each feature added, as the scorer's JSON."""

    coupon_id: int
    model: str
    prediction: float
    explanation: Mapping[str, Any]


class ScorerClient:
    """The scorer of an installation; `model` is the one that answered last."""

    def __init__(self, settings: Settings) -> None:
        key = settings.scoring_key
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        self._client = httpx.AsyncClient(
            base_url=scoring_url(settings),
            headers=headers,
            timeout=SECONDS,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            # A proxy in the environment is for other machines.
            trust_env=False,
        )
        self.model: str | None = None
        self._silent_since: float | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it has been silent for so long that nobody should wait for it."""
        since = self._silent_since
        return since is not None and time.monotonic() - since >= SILENT_SECONDS

    async def look(self) -> str | None:
        """Asks which model scores; returns None if there is none. Raises as `score` does."""
        try:
            await self._ask("GET", "/model", None)
        except NoModelYetError:
            self.model = None
        return self.model

    async def score(
        self, customer: Mapping[str, Any], coupons: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[tuple[int, float]]]:
        """The model, and coupons with their predictions, the best first.

        Raises `ScorerUnavailableError`, at once if it is silent, `NoModelYetError` or
        `ScorerRefusesError`.
        """
        model, answers = await self._score("/score", customer, coupons)
        return model, [(one["coupon_id"], one["prediction"]) for one in answers]

    async def explain(self, customer: Mapping[str, Any], coupon: Mapping[str, Any]) -> Explained:
        """Why a coupon has its prediction; raises as `score` does."""
        model, (found,) = await self._score("/score?explain=true", customer, [coupon])
        return Explained(found["coupon_id"], model, found["prediction"], found["explanation"])

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()

    async def _score(
        self, path: str, customer: Mapping[str, Any], coupons: Sequence[Mapping[str, Any]]
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """The model, and the answer for each coupon."""
        if self.is_silent:
            raise ScorerUnavailableError("it has been silent")
        body = orjson.dumps({"customer": customer, "coupons": coupons})
        answer = await self._ask("POST", path, body)
        return answer.headers[MODEL_HEADER], orjson.loads(answer.content)

    async def _ask(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        since = self._silent_since or time.monotonic()
        try:
            answer = await self._answer(method, path, body)
        except (ScorerUnavailableError, ScorerRefusesError):
            self._silent_since = since
            raise
        except NoModelYetError:
            self._silent_since = None
            raise
        self._silent_since = None
        return answer

    async def _answer(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, content=body)
        except httpx.HTTPError as error:
            raise ScorerUnavailableError(type(error).__name__) from error
        if answer.status_code == HTTPStatus.OK:
            self.model = answer.headers[MODEL_HEADER]
            return answer
        problem = answer.headers.get("Content-Type", "")
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise ScorerRefusesError(
                "The scorer requires a key: set POLLUX_SCORING_KEY to one that it accepts, such as "
                "pollux keys add events --scope score prints."
            )
        if answer.status_code == HTTPStatus.FORBIDDEN:
            raise ScorerRefusesError("The key in POLLUX_SCORING_KEY lacks the scope score.")
        if answer.status_code == HTTPStatus.MISDIRECTED_REQUEST:
            raise ScorerRefusesError(
                f"The scorer does not answer as {self._client.base_url.host}: add that name to "
                "POLLUX_ALLOWED_HOSTS where the scorer runs."
            )
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and "problem+json" in problem:
            raise NoModelYetError
        raise ScorerUnavailableError(f"status {answer.status_code}")
