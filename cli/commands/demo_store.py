"""`pollux demo-store`: customers in the store, and what they are offered.

Belongs here: how the walk is shown, and checks before it starts. Does not belong here: the walk
itself (`services.events.demo.walk`).
"""

from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

if TYPE_CHECKING:
    from services.events.demo.walk import DemoCustomer, FocusResult, WalkPlan

DEPARTMENT_WIDTH = 10
OFFER_WIDTH = 46


def demo_store(
    customers: Annotated[
        int, typer.Option(min=1, max=1000, help="How many customers enter the store.")
    ] = 5,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long they take together; 0 is without a pause.")
    ] = 10,
) -> None:
    """Walks a few customers through the store and prints what they are offered, live."""
    from services.events.demo.client import DemoClient
    from services.events.demo.walk import FocusResult, StoreFloor, plan_walk, walk_through
    from services.events.settings import read_mqtt_settings

    settings = Settings()
    mqtt = read_mqtt_settings()
    if mqtt.testing_no_mqtt:
        raise PolluxError("TESTING_NO_MQTT is set: there is no broker to publish events to.")
    client = DemoClient(settings, mqtt)
    results = []
    with client.staying():
        _require_model(settings)
        with open_serving_store(settings).connect(autocommit=True) as connection:
            walk = plan_walk(connection, settings, customers)
            floor = StoreFloor(settings, mqtt, client, connection)
            _say_day(walk, settings)
            for happened in walk_through(walk, floor, seconds=seconds):
                if isinstance(happened, FocusResult):
                    results.append(happened)
                    _say_result(happened)
                else:
                    _say_entry(happened)
    _say_sum(results)


def _require_model(settings: Settings) -> None:
    from pollux.propensity import current_id, models_dir

    # A scorer elsewhere has its own models.
    if settings.scoring_url is None and current_id(models_dir(settings)) is None:
        raise PolluxError(
            "No coupon-propensity model has been promoted yet, so nobody is offered anything: "
            "train one with pollux learn propensity."
        )


def _say_day(walk: "WalkPlan", settings: Settings) -> None:
    when = f"{walk.day}, " + ("today" if walk.is_today else "when the store's coupons are valid")
    _say(f"Events are of {when}; an offer needs a likelihood above {settings.coupon_threshold:g}.")


def _say_entry(customer: "DemoCustomer") -> None:
    kinds = {"F": "woman", "M": "man"}
    age = None if customer.age is None else f"{customer.age}"
    who = [kinds.get(customer.gender or ""), age]
    who.append(f"{customer.coupons_used:,} items bought with coupons")
    _say(f"\ncustomer {customer.id} enters: {', '.join(part for part in who if part)}")


def _say_result(result: "FocusResult") -> None:
    place = f"  {result.department:<{DEPARTMENT_WIDTH}}"
    if result.coupon is None:
        _say(f"{place}no offer: {result.reason}")
        return
    coupon, count = result.coupon, len(result.coupon["products"])
    offer = f"{coupon['discount']:g} % off, {coupon['type']}, "
    offer += f"{count} {'product' if count == 1 else 'products'}"
    _say(f"{place}{offer:<{OFFER_WIDTH}}{result.milliseconds:5.1f} ms")
    if result.reason is not None:
        _say(f"{'':{len(place)}}{result.reason}")


def _say_sum(results: "list[FocusResult]") -> None:
    times = [one.milliseconds for one in results if one.milliseconds is not None]
    text = f"\n{len(results)} focus events, {len(times)} offers"
    _say(f"{text}, half of them within {median(times):.1f} ms." if times else f"{text}.")


def _say(text: str) -> None:
    output.result_console.print(text, markup=False, soft_wrap=True)
