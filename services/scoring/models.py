"""Which model scores: the promoted one, followed while the service runs."""

import asyncio
import logging
from functools import partial
from pathlib import Path

import numpy as np
from prometheus_client import Counter, Gauge

from pollux import propensity
from pollux.propensity import ModelError, NoModelError, PropensityModel
from services.common.metrics import Metrics, seconds_since
from services.scoring.problems import no_model

POLL_SECONDS = 0.5

log = logging.getLogger("pollux.services")


class CurrentModel:
    """The promoted model of a folder of models; a request keeps the one that it began with."""

    def __init__(self, root: Path, metrics: Metrics) -> None:
        self._root = root
        self._model: PropensityModel | None = None
        self._seen: object = None
        self._shown = Gauge("pollux_model", "Model that scores.", ["id"], registry=metrics.registry)
        self._age = Gauge(
            "pollux_model_age_seconds",
            "Time since the model that scores was trained.",
            ["id"],
            registry=metrics.registry,
        )
        self._refused = Counter(
            "pollux_models_refused",
            "Promoted models that could not be used; the one before stayed.",
            registry=metrics.registry,
        )
        self.pairs = Counter(
            "pollux_scored_pairs", "Pairs of customer and coupon scored.", registry=metrics.registry
        )

    def get(self) -> PropensityModel:
        """The model to score with; raises a problem if there is none."""
        if self._model is None:
            raise no_model()
        return self._model

    async def follow(self) -> None:
        """Looks twice a second; runs until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Takes the promoted model if it has changed; refuses one that cannot be used."""
        sight = self._sight()
        if sight == self._seen:
            return
        self._seen = sight
        try:
            model = propensity.read_current(self._root)
            # The first prediction sets up what later ones use.
            model.predict(np.full((1, len(propensity.FEATURES)), np.nan, dtype=np.float32))
        except NoModelError as error:
            log.warning("%s", error)
        except ModelError as error:
            self._refused.inc()
            stays = "no model" if self._model is None else self._model.id
            log.warning("A model was refused: %s Scoring goes on with %s.", error, stays)
        else:
            self._model = model
            self._shown.clear()
            self._shown.labels(model.id).set(1)
            self._age.clear()
            self._age.labels(model.id).set_function(partial(seconds_since, model.trained_at))
            log.info("Scoring with model %s", model.id)

    def _sight(self) -> object:
        """A value that changes with the link and with the files behind it."""
        current = propensity.current_id(self._root)
        files = (propensity.DESCRIPTION_FILE, propensity.MODEL_FILE, propensity.CARD_FILE)
        try:
            times = [(self._root / propensity.CURRENT / name).stat().st_mtime_ns for name in files]
        except OSError:
            times = []
        return current, times
