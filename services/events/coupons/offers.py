"""Which coupon a customer would be offered in each department: prepared at entry, or chosen now.

Belongs here: what is prepared for whom, where it is kept, and when it no longer holds. Does not
belong here: how an event uses it.

A choice rests on a release of the store and a model; when either is replaced, all choices are
dropped, from memory and from `events.contexts`. It also rests on the customer's live rows: newer
ones make it count no more.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple, TypeVar

import asyncpg
import orjson

from services.common.database import Database, DatabaseUnavailableError, SlowQueryError
from services.common.live_customers import LiveCustomers
from services.common.releases import Release
from services.events.coupons.catalogue import (
    Catalogue,
    CouponDocument,
    CustomerFigures,
    ReplacedError,
)
from services.events.coupons.messages import StoreEvent
from services.events.coupons.scorer_client import (
    SILENT_SECONDS,
    Explained,
    NoModelYetError,
    ScorerClient,
    ScorerRefusesError,
    ScorerUnavailableError,
)
from services.events.database.connection import DatabaseWriter
from services.scoring.schemas import MAX_COUPONS

DOMAIN = "store"
KEPT_CUSTOMERS = 20_000
AT_ONCE = 8
PAUSE_SECONDS = 0.2

UNKNOWN_CUSTOMER = "unknown customer"
UNKNOWN_DEPARTMENT = "unknown department"
NOTHING_RELEASED = "no release of the store"
NO_MODEL = "no coupon-propensity model"
SCORER_SILENT = "the scorer did not answer"

READ = """
select choices, revision from events.contexts
where
    customer_id = $1 and event_date = $2 and release = $3 and model = $4 and threshold = $5
    and revision >= $6
"""
DROP = "delete from events.contexts where release <> $1 or model <> $2"

T = TypeVar("T")
_OfDepartment = tuple[str | None, "Choice"]

log = logging.getLogger("pollux.events")


class Choice(NamedTuple):
    """The coupon for a customer in a department, or the reason why there is none."""

    coupon_id: int | None = None
    prediction: float | None = None
    reason: str | None = None


@dataclass
class _Kept:
    """A customer's choices for one day, by department; complete if every department is there.

    They hold until live rows of a later revision are known.
    """

    revision: int
    choices: dict[str, Choice] = field(default_factory=dict)
    is_complete: bool = False


class Basis(NamedTuple):
    """What choices rest on: the number of the store's release, and the model."""

    release: int | None
    model: str | None


class PreparedOffers(NamedTuple):
    """Choices for a customer on a day, as they are kept in `events.contexts`."""

    customer_id: int
    event_date: date
    basis: Basis
    threshold: float
    choices: str
    revision: int


class Offers:
    """The choices made with the current release and model; offered is what is above `threshold`.

    A customer's figures are those of live rows where `live` knows of any.
    """

    def __init__(
        self,
        database: Database,
        writer: DatabaseWriter,
        scorer: ScorerClient,
        *,
        threshold: float,
        live: LiveCustomers | None = None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._scorer = scorer
        self._live = live
        self.threshold = threshold
        self._catalogue: Catalogue | None = None
        # Until it is set, no event is decided: it would look as if nothing were released.
        self._is_release_known = asyncio.Event()
        self._model: str | None = None
        self._kept: OrderedDict[tuple[int, date], _Kept] = OrderedDict()
        # Set whenever all choices are dropped from memory.
        self.are_dropped = asyncio.Event()
        self._preparing: dict[tuple[int, date], asyncio.Task[PreparedOffers | Choice]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def basis(self) -> Basis:
        """What choices rest on now."""
        release = None if self._catalogue is None else self._catalogue.release.number
        return Basis(release, self._model)

    def use_release(self, release: Release | None) -> None:
        """Switches to the current release of the store; None if nothing is released."""
        self._is_release_known.set()
        current = None if self._catalogue is None else self._catalogue.release
        if release != current:
            self._catalogue = None if release is None else Catalogue(self._database, release)
            self._forget()

    def use_model(self, model: str | None) -> None:
        """Switches to the model that scores; None if there is none."""
        if model != self._model:
            self._model = model
            self._forget()

    async def drop_outdated(self) -> None:
        """Deletes prepared offers of other releases and models from `events.contexts`."""
        basis = self.basis
        if None not in basis:
            await self._writer.retry(lambda connection: connection.execute(DROP, *basis))

    def is_prepared(self, event: StoreEvent) -> bool:
        """Whether all of the customer's choices for the event's day are in memory."""
        kept = self._held(event.customer_id, event.event_date)
        return kept is not None and kept.is_complete

    def spelled(self, department: str) -> str | None:
        """A department as the data spell it, or None if it is not known."""
        return None if self._catalogue is None else self._catalogue.spelled(department)

    def document(self, coupon_id: int) -> CouponDocument | None:
        """A chosen coupon as shops get it, or None if it is no longer in memory."""
        return None if self._catalogue is None else self._catalogue.document(coupon_id)

    async def read_document(self, coupon_id: int) -> CouponDocument | None:
        """A coupon as shops get it, or None if the current release has no such coupon."""
        if self._catalogue is None:
            return None
        await self._catalogue.read_documents([coupon_id])
        return self._catalogue.document(coupon_id)

    def ready(self, event: StoreEvent) -> Choice | None:
        """The choice for a focus event, if it is in memory."""
        kept = self._held(event.customer_id, event.event_date)
        if kept is None or event.department is None:
            return None
        department = self.spelled(event.department)
        if department is None:
            return None
        choice = kept.choices.get(department)
        if choice is not None and choice.coupon_id is not None:
            return choice if self.document(choice.coupon_id) is not None else None
        return choice

    async def prepare(self, event: StoreEvent) -> PreparedOffers | Choice:
        """The offers for a customer who entered, or the reason why there are none."""
        place = (event.customer_id, event.event_date)
        task = self._preparing.get(place)
        if task is None:
            task = self._preparing[place] = asyncio.create_task(
                self._retry(lambda catalogue: self._prepare(catalogue, *place))
            )
            task.add_done_callback(lambda _: self._preparing.pop(place, None))
        return await asyncio.shield(task)

    async def choose(self, event: StoreEvent) -> Choice:
        """The choice for a focus event: from memory, from the database, or scored now."""
        assert event.department is not None  # noqa: S101 - focus events name one
        place = (event.customer_id, event.event_date)
        task = self._preparing.get(place)
        if task is not None:
            # The customer has just entered: the offers are being prepared.
            found = await asyncio.shield(task)
            if isinstance(found, Choice) and found.reason == SCORER_SILENT:
                return found
        name = event.department
        return await self._retry(lambda catalogue: self._choose(catalogue, *place, name))

    async def choose_any(self, event: StoreEvent) -> tuple[str | None, Choice]:
        """The best choice of all departments, and which one it is of.

        That is None if no department has a coupon, or if there can be no choice at all.
        """
        place = (event.customer_id, event.event_date)
        found = await self._retry(lambda catalogue: self._choose_any(catalogue, *place))
        return (None, found) if isinstance(found, Choice) else found

    async def departments(self) -> list[str]:
        """The departments of the current release, sorted; none if nothing is released."""
        if self._catalogue is None:
            return []
        return sorted((await self._catalogue.departments()).values())

    async def explain(self, event: StoreEvent, coupon_id: int | None) -> Explained | None:
        """Why a coupon, or else the best of the event's department, has its prediction.

        None if there is no such coupon or customer, or while the release is being replaced. Raises
        as `ScorerClient.score` does.
        """
        catalogue = self._catalogue
        if catalogue is None or event.department is None:
            return None
        valid = (await catalogue.valid_coupons(event.event_date)).get(event.department, ())
        try:
            customer, _ = await self._figures(catalogue, event.customer_id)
        except ReplacedError:
            return None
        coupons = {coupon["coupon_id"]: coupon for coupon in valid}
        if customer is None or not coupons:
            return None
        if coupon_id is None:
            _, found = await self._predict(customer, valid)
            coupon_id, _ = max(found, key=lambda one: (one[1], -one[0]))
        if coupon_id not in coupons:
            return None
        return await self._scorer.explain(customer, coupons[coupon_id])

    async def _prepare(
        self, catalogue: Catalogue, customer_id: int, day: date
    ) -> PreparedOffers | Choice:
        departments = sorted((await catalogue.departments()).values())
        found = await self._score(catalogue, customer_id, day, departments)
        if isinstance(found, Choice):
            return found
        model, choices, revision = found
        self._keep(catalogue, model, (customer_id, day), choices, revision, is_complete=True)
        text = orjson.dumps({name: list(choice) for name, choice in choices.items()}).decode()
        basis = Basis(catalogue.release.number, model)
        return PreparedOffers(customer_id, day, basis, self.threshold, text, revision)

    async def _choose(self, catalogue: Catalogue, customer_id: int, day: date, name: str) -> Choice:
        await catalogue.departments()
        department = catalogue.spelled(name)
        if department is None:
            return Choice(reason=UNKNOWN_DEPARTMENT)
        held = self._held(customer_id, day)
        kept = held.choices if held else await self._read(catalogue, customer_id, day)
        if kept is None or department not in kept:
            found = await self._score(catalogue, customer_id, day, [department])
            if isinstance(found, Choice):
                return found
            model, kept, revision = found
            self._keep(catalogue, model, (customer_id, day), kept, revision)
        choice = kept[department]
        if choice.coupon_id is not None:
            await catalogue.read_documents([choice.coupon_id])
        return choice

    async def _choose_any(
        self, catalogue: Catalogue, customer_id: int, day: date
    ) -> _OfDepartment | Choice:
        held = self._held(customer_id, day)
        is_complete = held is not None and held.is_complete
        kept = (
            held.choices if held and is_complete else await self._read(catalogue, customer_id, day)
        )
        if kept is None:
            departments = sorted((await catalogue.departments()).values())
            found = await self._score(catalogue, customer_id, day, departments)
            if isinstance(found, Choice):
                return found
            model, kept, revision = found
            self._keep(catalogue, model, (customer_id, day), kept, revision, is_complete=True)
        department, choice = min(kept.items(), key=_rank)
        if choice.coupon_id is not None:
            await catalogue.read_documents([choice.coupon_id])
        return (None if choice.prediction is None else department), choice

    async def _read(
        self, catalogue: Catalogue, customer_id: int, day: date
    ) -> Mapping[str, Choice] | None:
        """What another worker prepared, or this one before a restart."""
        release, model = catalogue.release.number, self._model
        if model is None:
            return None
        known = self._revision(customer_id)
        found = await self._writer.retry(
            lambda connection: connection.fetchrow(
                READ, customer_id, day, release, model, self.threshold, known
            )
        )
        if found is None:
            return None
        text, revision = found
        choices = {name: Choice(*values) for name, values in orjson.loads(text).items()}
        await catalogue.read_documents(_coupons(choices))
        self._keep(catalogue, model, (customer_id, day), choices, revision, is_complete=True)
        return choices

    async def _score(
        self, catalogue: Catalogue, customer_id: int, day: date, departments: Sequence[str]
    ) -> tuple[str, dict[str, Choice], int] | Choice:
        """The model, its choices and by which live rows; or why there can be none at all."""
        valid = await catalogue.valid_coupons(day)
        coupons = [coupon for name in departments for coupon in valid.get(name, ())]
        customer, revision = await self._figures(catalogue, customer_id)
        if customer is None:
            return Choice(reason=UNKNOWN_CUSTOMER)
        choices = dict.fromkeys(departments, Choice(reason=f"no coupon valid on {day.isoformat()}"))
        if not coupons:
            # Nothing to score, so no model is needed to say so.
            return self._model or "", choices, revision
        model, predictions = await self._predict(customer, coupons)
        of_coupon = {coupon["coupon_id"]: coupon["department"] for coupon in coupons}
        for coupon_id, prediction in sorted(predictions, key=lambda one: (one[1], -one[0])):
            # The last one written is the best; of equals, the one with the lowest number.
            choices[of_coupon[coupon_id]] = (
                Choice(coupon_id, prediction)
                if prediction > self.threshold
                else Choice(prediction=prediction, reason=f"no coupon above {self.threshold:g}")
            )
        await catalogue.read_documents(_coupons(choices))
        return model, choices, revision

    async def _figures(self, catalogue: Catalogue, customer_id: int) -> CustomerFigures:
        is_live = self._revision(customer_id) > 0
        return await catalogue.customer(customer_id, is_live=is_live)

    def _revision(self, customer_id: int) -> int:
        """The live rows by which a customer is known; 0 for none."""
        return 0 if self._live is None else self._live.revision((DOMAIN, customer_id))

    def _held(self, customer_id: int, day: date) -> _Kept | None:
        """The choices in memory, unless they are older than the customer's live rows."""
        kept = self._kept.get((customer_id, day))
        if kept is None or kept.revision < self._revision(customer_id):
            return None
        return kept

    async def _predict(
        self, customer: Mapping[str, Any], coupons: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[tuple[int, float]]]:
        """The model and its predictions of any number of coupons; raises as the scorer does."""
        model = ""
        predictions: list[tuple[int, float]] = []
        for start in range(0, len(coupons), MAX_COUPONS):
            part = coupons[start : start + MAX_COUPONS]
            model, found = await self._scorer.score(customer, part)
            predictions += found
        return model, predictions

    def _keep(
        self,
        catalogue: Catalogue,
        model: str,
        place: tuple[int, date],
        choices: Mapping[str, Choice],
        revision: int,
        *,
        is_complete: bool = False,
    ) -> None:
        if model and model != self._model:
            self.use_model(model)
        if catalogue is not self._catalogue or not model:
            return
        if revision < self._revision(place[0]):
            # Live rows came meanwhile.
            return
        kept = self._held(*place) or _Kept(revision)
        self._kept[place] = kept
        kept.revision = min(kept.revision, revision)
        kept.choices.update(choices)
        kept.is_complete = kept.is_complete or is_complete
        self._kept.move_to_end(place)
        while len(self._kept) > KEPT_CUSTOMERS:
            self._kept.popitem(last=False)

    async def _retry(self, work: Callable[[Catalogue], Awaitable[T]]) -> T | Choice:
        """What `work` finds with the current release, tried until database and scorer answer."""
        await self._is_release_known.wait()
        if self._live is not None:
            await self._live.has_tried.wait()
        deadline = time.monotonic() + SILENT_SECONDS
        while True:
            catalogue = self._catalogue
            if catalogue is None:
                return Choice(reason=NOTHING_RELEASED)
            try:
                async with self._slots:
                    found = await work(catalogue)
            except NoModelYetError:
                self.use_model(None)
                return Choice(reason=NO_MODEL)
            except (ScorerUnavailableError, ScorerRefusesError):
                if self._scorer.is_silent or time.monotonic() > deadline:
                    return Choice(reason=SCORER_SILENT)
            except (
                DatabaseUnavailableError,
                SlowQueryError,
                ReplacedError,
                asyncpg.UndefinedTableError,
            ):
                # Without the database nothing can be recorded, so there is no hurry.
                deadline = time.monotonic() + SILENT_SECONDS
            else:
                if catalogue is self._catalogue:
                    return found
                continue
            await asyncio.sleep(PAUSE_SECONDS)

    def _forget(self) -> None:
        self._kept.clear()
        self.are_dropped.set()
        log.info("Choices rest on release %s and model %s", *self.basis)


def _rank(place: tuple[str, Choice]) -> tuple[float, int, str]:
    """The most likely first; of equals, the coupon with the lowest number."""
    department, choice = place
    prediction = -1.0 if choice.prediction is None else choice.prediction
    return -prediction, choice.coupon_id or 0, department


def _coupons(choices: Mapping[str, Choice]) -> list[int]:
    return [choice.coupon_id for choice in choices.values() if choice.coupon_id is not None]
