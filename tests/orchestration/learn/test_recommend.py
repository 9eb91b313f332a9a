"""The recommender on small histories: by brute force, by its properties, at its edges."""

import math
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import sparse

from orchestration.learn.recommend import baselines
from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.evaluate import evaluate
from orchestration.learn.recommend.household import (
    History,
    Purchases,
    as_history,
    learned_of,
    neighbours_of,
    recommend_all,
    recommend_by,
)
from orchestration.learn.recommend.metrics import interval, measure
from orchestration.learn.recommend.model import Model, Parameters, Parts, fit, rank_all
from orchestration.learn.recommend.others import neighbour_shares, popularity
from orchestration.learn.recommend.protocols import Histories
from orchestration.learn.recommend.ranking import best, best_items
from orchestration.learn.recommend.tifu import TIFU_GRID, TifuParameters, tifu_knn, tifu_vectors
from pollux.runtime.recommend.baskets import Baskets, dated_baskets, ordered_baskets
from pollux.runtime.recommend.learned import nothing_learned, read_learned, write_learned
from pollux.runtime.recommend.personal import (
    learn_rhythm,
    personal_scores,
    summarize,
)
from pollux.runtime.recommend.rows import LIKE_THIS_ONE, POPULAR, reasons

SEED = 20
ITEMS = 40
Items = list[list[list[int]]]


def random_histories(customers: int, seed: int = SEED, least: int = 3) -> Items:
    rng = np.random.default_rng(seed)
    histories = []
    for _ in range(customers):
        tastes = rng.choice(ITEMS, 8, replace=False)
        histories.append(
            [
                sorted({int(i) for i in rng.choice(tastes, rng.integers(1, 5))})
                for _ in range(rng.integers(least, 9))
            ]
        )
    return histories


@pytest.fixture(scope="module")
def histories() -> Items:
    return random_histories(60)


@pytest.fixture(scope="module")
def baskets(histories: Items) -> Baskets:
    return ordered_baskets(histories, ITEMS)


def scores_of(model: Model, customers: np.ndarray) -> np.ndarray:
    """Scores of all items for some customers: customers by items."""
    dense = np.tile(model.popularity, (customers.size, 1))
    return dense + model.others[customers].toarray() + model.personal[customers].toarray()


def oracle(ranked: list[int], basket: set[int], k: int) -> tuple[float, float]:
    hits = [rank for rank, item in enumerate(ranked[:k], start=1) if item in basket]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, len(basket) + 1))
    return len(hits) / len(basket), sum(1 / math.log2(rank + 1) for rank in hits) / ideal


def test_metrics_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(SEED)
    for k in (1, 3, 10):
        targets = [rng.choice(30, rng.integers(1, 20), replace=False) for _ in range(50)]
        ranked = [rng.permutation(30)[: rng.integers(0, 12)].tolist() for _ in range(50)]
        found = measure(ranked, targets, k)
        for customer in range(50):
            wanted = oracle(ranked[customer], set(targets[customer].tolist()), k)
            assert (found.recall[customer], found.ndcg[customer]) == pytest.approx(wanted)


def test_metrics_by_hand() -> None:
    # One of two found, at rank 2: 1 / log2(3) over 1 + 1 / log2(3).
    found = measure([[5, 7, 9]], [np.array([7, 8])], 3)
    assert found.recall[0] == 0.5
    assert found.ndcg[0] == pytest.approx(0.38685, abs=1e-5)
    with pytest.raises(ValueError, match="empty basket"):
        measure([[1]], [np.array([], dtype=np.int64)], 3)


def test_an_interval_holds_its_mean_and_narrows_with_customers() -> None:
    values = np.random.default_rng(SEED).random(400)
    few, many = interval(values[:40]), interval(values)
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low
    assert interval(values) == many


def test_best_is_a_full_sort() -> None:
    scores = np.random.default_rng(SEED).integers(0, 6, (30, 25)).astype(float)
    for k in (1, 7, 25, 40):
        wanted = [sorted(range(25), key=lambda i, row=row: (-row[i], i))[:k] for row in scores]
        assert best(scores, k).tolist() == wanted


def test_best_items_are_a_full_sort_of_what_is_above_0() -> None:
    rng = np.random.default_rng(SEED)
    scores = rng.integers(0, 4, (700, 25)) * (rng.random((700, 25)) < 0.2)
    scores[3] = 0
    for k in (1, 4, 25, 40):
        found = best_items(sparse.csr_matrix(scores), k).tolist()
        for row, mine in zip(scores, found, strict=True):
            wanted = sorted((i for i in range(25) if row[i] > 0), key=lambda i, r=row: (-r[i], i))
            assert mine == (wanted + [-1] * k)[:k]


def test_taking_off_the_last_basket(histories: Items, baskets: Baskets) -> None:
    before = baskets.without_last(1)
    again = ordered_baskets([history[:-1] for history in histories], ITEMS)
    assert before.line_item.tolist() == again.line_item.tolist()
    assert before.owner.tolist() == again.owner.tolist()
    assert [target.tolist() for target in baskets.targets(0)] == [h[-1] for h in histories]
    assert [target.tolist() for target in baskets.targets(1)] == [h[-2] for h in histories]


def cell_and_chance(history: list[list[int]], item: int, decay: float) -> tuple[int, float]:
    """The cell of rhythm of a bought item, and its frequency with a prior of 3."""
    bought = [number for number, basket in enumerate(history) if item in basket]
    ages = [len(history) - 1 - number for number in bought]
    exposure = sum(decay**age for age in range(ages[0] + 1))
    usual = (bought[-1] - bought[0]) / (len(bought) - 1) if bought[1:] else 8
    elapsed = (ages[-1] + 1) / usual
    row = sum(len(bought) >= edge for edge in (2, 3, 4, 6, 9, 15, 25))
    edges = (-3, -2.5, -2, -1.5, -1.2, -0.9, -0.6, -0.3, 0, 0.3, 0.6, 1, 1.5, 2.2, 3)
    column = sum(math.log2(elapsed) >= edge for edge in edges)
    weight = [1 / math.sqrt(len(history[number])) for number in bought]
    decayed = sum(one * decay**age for one, age in zip(weight, ages, strict=True))
    return row * 16 + column, decayed / (exposure + 3)


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_rhythm_is_that_of_loops(histories: Items, baskets: Baskets, decay: float) -> None:
    happened, expected = np.zeros(8 * 16), np.zeros(8 * 16)
    for back in (1, 2, 3):
        for history in histories:
            before, basket = history[:-back], history[-back]
            for item in {item for one in before for item in one}:
                cell, chance = cell_and_chance(before, item, decay)
                expected[cell] += chance
                happened[cell] += (item in basket) / math.sqrt(len(basket))
    mean = happened.sum() / expected.sum()
    found = learn_rhythm(baskets, decay=decay, prior=3)
    assert found.tolist() == pytest.approx(((happened + 3 * mean) / (expected + 3)).tolist())


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_scores_are_those_of_loops(histories: Items, baskets: Baskets, decay: float) -> None:
    parameters = Parameters(
        decay=decay, prior=3, neighbours=7, neighbour_decay=0.9, neighbour_weight=0.5,
        popularity_weight=0.3, popular_baskets=2,
    )  # fmt: skip
    model = fit(baskets, parameters)
    found = scores_of(model, np.arange(len(histories)))

    vectors = []
    for history in histories:
        vector = Counter()
        for age, basket in enumerate(reversed(history)):
            for item in basket:
                vector[item] += 0.9**age / math.sqrt(len(basket))
        vectors.append(vector)
    holders = Counter(item for vector in vectors for item in vector)
    rare = {item: math.log(len(histories) / many) for item, many in holders.items()}
    alike = [{i: math.log1p(v) * rare[i] for i, v in vector.items()} for vector in vectors]
    latest = [basket for history in histories for basket in history[-2:]]
    for me, history in enumerate(histories):
        cosines = []
        for other in range(len(histories)):
            if other != me:
                dot = sum(alike[me].get(i, 0) * v for i, v in alike[other].items())
                size = math.hypot(*alike[me].values()) * math.hypot(*alike[other].values())
                cosines.append((dot / size, other))
        nearest = sorted(cosines, reverse=True)[:7]
        total = sum(cosine for cosine, _ in nearest)
        for item in range(ITEMS):
            weight = sum(1 / math.sqrt(len(basket)) for basket in latest if item in basket)
            score = 0.3 * weight / len(latest)
            for cosine, other in nearest:
                exposure = sum(0.9**age for age in range(len(histories[other])))
                score += 0.5 * cosine / total * vectors[other][item] / exposure
            if any(item in basket for basket in history):
                cell, chance = cell_and_chance(history, item, decay)
                score += chance * model.rhythm[cell]
            assert found[me, item] == pytest.approx(score, abs=1e-5), (me, item)


def test_the_test_basket_changes_no_score(histories: Items) -> None:
    changed = [history[:-1] + [[39 - item for item in history[-1]]] for history in histories]
    kept = ordered_baskets(histories, ITEMS)
    other = ordered_baskets(changed, ITEMS)
    assert [t.tolist() for t in kept.targets(0)] != [t.tolist() for t in other.targets(0)]
    parameters = []
    scores = []
    for baskets in (kept, other):
        history = baskets.without_last(1)
        parameters.append(choose(history, sample=20, rounds=1))
        model = fit(history, parameters[-1])
        scores.append(scores_of(model, np.arange(len(histories))))
    assert parameters[0] == parameters[1]
    assert (scores[0] == scores[1]).all()


def test_the_time_of_the_test_basket_changes_no_score(baskets: Baskets) -> None:
    is_last = baskets.age == 0
    later = replace(baskets, time=np.where(is_last, baskets.time + 50, baskets.time))
    everybody = np.arange(baskets.customers)
    scores = [scores_of(fit(b.without_last(1), Parameters()), everybody) for b in (baskets, later)]
    assert (scores[0] == scores[1]).all()


def test_the_same_baskets_give_the_same_evaluation(baskets: Baskets) -> None:
    first, second = (
        evaluate("tafeng", Histories(baskets, np.arange(baskets.customers))) for _ in range(2)
    )
    assert first.rows == second.rows
    assert first.chosen == second.chosen
    assert [row.method for row in first.rows][-1] == "Pollux"


def test_a_new_basket_takes_at_most_5_ms() -> None:
    rng = np.random.default_rng(SEED)
    many = 40_000
    # A long history among as many products as the full data have.
    lines = Purchases(
        rng.integers(0, 50, many), rng.integers(0, 30_000, many), rng.integers(0, 700, many) * 1440
    )
    history = as_history(lines)
    model = fit(history.baskets, Parameters(neighbours=20))
    learned, neighbours = learned_of(model, history), neighbours_of(model, history)
    said = neighbours.filter(pc.equal(neighbours["household_key"], 3))
    mine = [(3, 701, 1), (3, 701, 2), (3, 701, 3)]
    for day, product in zip(lines.minute // 1440, lines.product, strict=True):
        mine += [(3, int(day), int(product))] if len(mine) < many / 50 else []
    grown = table_of_lines(mine)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        learned.recommend(grown, said)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= 0.005


def test_a_product_due_again_ranks_higher() -> None:
    """All buy products every 10 days: of those bought equally often, the one due ranks first."""
    owner, day, item = [], [], []
    for customer in range(40):
        for visit in range(0, 102, 2):
            owner.append(customer), day.append(visit), item.append(0)
            for product in range(1, 6):
                if visit % 10 == 2 * (product - 1):
                    owner.append(customer), day.append(visit), item.append(product)
    baskets = dated_baskets(
        np.array(owner), np.array(day, float), np.array(item), customers=40, items=6
    )
    model = fit(baskets, Parameters(neighbour_weight=0, popularity_weight=0))
    score = scores_of(model, np.array([0]))[0]
    # The last visit was day 100 (product 1); product 2 is due on 102, bought last on 92.
    assert score[2] > max(score[1], score[3], score[4], score[5])
    assert score[1] < 0.5 * score[2]


def test_a_product_of_small_baskets_ranks_higher() -> None:
    """Half buy product 0 alone every time, half product 1 with three others."""
    baskets = ordered_baskets([[[0]] * 9, [[1, 2, 3, 4]] * 9] * 20, 5)
    model = fit(baskets, Parameters())
    assert model.popularity[0] == 2 * model.popularity[1] > 0
    alone = ordered_baskets([[[0], [1, 2, 3, 4]] * 3], 5)
    assert summarize(alone).decayed.tolist() == [3, 1.5, 1.5, 1.5, 1.5]


def test_baselines_follow_their_definition() -> None:
    histories = [[[3, 1], [1, 2], [3]], [[2], [2, 5]], [[2, 1]]]
    baskets = ordered_baskets(histories, 6)
    assert baselines.popular(baskets, 3) == [[2, 1, 3]] * 3
    # Items 3 and 1 were each bought twice: 1 stands first in the basket as it is read.
    assert baselines.personal(baskets, 3)[0] == [3, 1, 2]
    assert baselines.personal_then_popular(baskets, 4)[1] == [2, 5, 1, 3]
    assert baselines.personal_then_popular_ties(baskets, 3)[0] == [1, 3, 2]


def test_tifu_vectors_by_hand() -> None:
    # Three baskets in two groups: sizes 1 (the older) and 2.
    baskets = ordered_baskets([[[0], [1], [2]]], 3)
    parameters = TifuParameters(groups=2, within_decay=0.9, group_decay=0.5)
    vector = tifu_vectors(baskets, parameters).toarray()[0]
    assert vector.tolist() == pytest.approx([0.5 / 2, 0.9 / 2 / 2, 1 / 2 / 2])


def test_tifu_ranks_as_a_loop_over_all_customers() -> None:
    histories = random_histories(40, seed=5)
    baskets = ordered_baskets(histories, ITEMS)
    settings = [one for one in TIFU_GRID if one.neighbours == 100]
    settings += [replace(one, neighbours=many) for one in settings for many in (3, 8)]
    asked = np.arange(0, 40, 3)
    found = tifu_knn(baskets, 10, settings, asked)
    compared = 0
    for one in settings:
        vectors = tifu_vectors(baskets, one).toarray()
        for place, me in enumerate(asked):
            distance = ((vectors - vectors[me]) ** 2).sum(axis=1)
            distance[me] = np.inf
            order = np.argsort(distance)
            nearest = order[: min(one.neighbours, 39)]
            if distance[order[nearest.size]] - distance[nearest[-1]] < 1e-9:
                continue  # Two are equally near: either may count.
            scores = one.alpha * vectors[me] + (1 - one.alpha) * vectors[nearest].mean(axis=0)
            mine = scores[found[one][place]]
            assert mine.tolist() == pytest.approx(np.sort(scores)[::-1][:10].tolist(), abs=1e-12)
            compared += 1
    assert compared > 0.7 * len(settings) * asked.size


def test_scores_of_some_customers_are_those_among_all(baskets: Baskets) -> None:
    some = np.array([2, 3, 17, 50])
    alone = Model(Parts(baskets, some), Parameters(neighbours=7))
    among_all = fit(baskets, Parameters(neighbours=7))
    assert (scores_of(alone, some) == scores_of(among_all, some)).all()


def test_neighbours_and_popularity_of_a_lonely_customer() -> None:
    baskets = ordered_baskets([[[0], [1]]], 3)
    assert neighbour_shares(baskets, np.array([0]), many=5, decay=0.9).nnz == 0
    assert popularity(baskets, 1).tolist() == [0, 1, 0]


def test_reasons_in_words() -> None:
    words = {
        (1, 0, 0): "bought once, today",
        (1, 0, 1): "bought once, 1 day ago",
        (2, 1, 9): "bought 2 times, usually every day, last 9 days ago",
        (14, 6, 1): "bought 14 times, usually every 6 days, last 1 day ago",
    }
    numbers = (np.array(column) for column in zip(*words, strict=True))
    assert reasons(*numbers).to_pylist() == [*words.values()]


def purchases(rows: list[tuple[int, int, int]]) -> Purchases:
    """Rows of household, day, product."""
    household, day, product = (np.array(column) for column in zip(*rows, strict=True))
    return Purchases(household, product, day * 1440 + 600)


def test_recommendations_say_why() -> None:
    rows = [(7, day, 100) for day in (10, 17, 24)] + [(7, 24, 101)]
    rows += [(8, day, 100) for day in (10, 17, 24)] + [(8, 24, 102), (9, 30, 103)]
    table = recommend_all(as_history(purchases(rows)), Parameters())
    found = [row for row in table.to_pylist() if row["household_key"] == 7]
    by_product = {row["product_id"]: row for row in found}
    assert by_product[100]["reason"] == "bought 3 times, usually every 7 days, last 6 days ago"
    assert (by_product[100]["usual_days"], by_product[100]["last_days"]) == (7, 6)
    assert by_product[101]["reason"] == "bought once, 6 days ago"
    assert by_product[101]["usual_days"] is None
    assert by_product[102]["reason"] == LIKE_THIS_ONE
    assert by_product[103]["reason"] == POPULAR
    assert {p: row["kind"] for p, row in by_product.items()} == {
        100: "repeat", 101: "repeat", 102: "new", 103: "new"
    }  # fmt: skip
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    scores = [row["score"] for row in found]
    assert scores == sorted(scores, reverse=True)


def test_cold_and_odd_households() -> None:
    # One basket; one product ever; and nothing else to recommend but its own.
    rows = [(1, 5, 50), (2, 5, 50), (2, 6, 50), (2, 7, 50), (3, 9, 51), (3, 9, 52)]
    table = recommend_all(as_history(purchases(rows)), Parameters()).to_pylist()
    for household in (1, 2, 3):
        mine = [row for row in table if row["household_key"] == household]
        assert mine
        assert mine[0]["kind"] == "repeat"
        assert len({row["product_id"] for row in mine}) == len(mine)
    alone = recommend_all(as_history(purchases([(1, 5, 50)])), Parameters()).to_pylist()
    assert [(row["product_id"], row["kind"]) for row in alone] == [(50, "repeat")]
    nobody = Purchases(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    assert recommend_all(as_history(nobody), Parameters()).num_rows == 0


def test_ranking_all_is_ranking_each(baskets: Baskets) -> None:
    model = fit(baskets, Parameters(neighbours=9))
    everybody = np.arange(baskets.customers)
    scores = scores_of(model, everybody)
    wanted = best(scores, 6)
    is_scored = np.take_along_axis(scores, wanted, axis=1) > 0
    assert is_scored.any()
    assert rank_all(model, 6, everybody).tolist() == np.where(is_scored, wanted, -1).tolist()


@pytest.mark.parametrize("chunk", [7, 1000])
def test_the_best_of_each_kind_are_those_of_all_scores(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.learn.recommend.household.CHUNK", chunk)
    history = as_history(purchases(random_purchases(range(50), range(90), range(200), SEED)))
    model = fit(history.baskets, Parameters(neighbours=9))
    table = recommend_by(model, history, per_kind=4).to_pylist()
    scores = scores_of(model, np.arange(history.households.size))
    bought = summarize(history.baskets)
    for place, household in enumerate(history.households):
        own = set(bought.item[bought.customer == place].tolist())
        ranked = sorted(np.flatnonzero(scores[place] > 0), key=lambda item: -scores[place, item])
        kinds = {"repeat": [], "new": []}
        for item in ranked:
            kinds["repeat" if item in own else "new"].append(item)
        wanted = sorted(kinds["repeat"][:4] + kinds["new"][:4], key=ranked.index)
        found = [row for row in table if row["household_key"] == household]
        assert [row["product_id"] for row in found] == history.products[wanted].tolist()
        assert [row["score"] for row in found] == scores[place, wanted].tolist()
        assert [row["rank"] for row in found] == [*range(1, len(wanted) + 1)]


Lines = list[tuple[int, int, int]]


def random_purchases(households: range, days: range, products: range, seed: int) -> Lines:
    """Households, days and products; the first household buys only once."""
    rng = np.random.default_rng(seed)
    found: Lines = []
    for household in households:
        tastes = rng.choice(products, 8, replace=False)
        visits = 1 if household == households[0] else int(rng.integers(1, 12))
        for day in rng.choice(days, visits, replace=False):
            many = int(rng.integers(1, 6))
            found += [(household, int(day), int(one)) for one in rng.choice(tastes, many)]
    return found


def table_of_lines(lines: Lines) -> pa.Table:
    household, day, product = zip(*lines, strict=True)
    minutes = [one * 1440.0 + 600 for one in day]
    return pa.table({"household_key": household, "product_id": product, "minute": minutes})


def by_what_was_learned(before: Model, known: History, after: History) -> Model:
    """A model of later histories, but with what earlier ones say of everybody."""
    baskets = replace(after.baskets, usual_gap=known.baskets.gap_of_one)
    model = fit(baskets, before.parameters)
    model.rhythm = before.rhythm
    bought, scores = personal_scores(
        baskets, before.rhythm, decay=before.parameters.decay, prior=before.parameters.prior
    )
    shape = (baskets.customers, baskets.items)
    model.bought = bought
    model.personal = sparse.csr_matrix((scores, (bought.customer, bought.item)), shape)
    items = np.searchsorted(after.products, known.products)
    owners = np.searchsorted(after.households, known.households)
    model.popularity = np.zeros(baskets.items)
    model.popularity[items] = before.popularity
    model.popular_first = np.argsort(-model.popularity, kind="stable")
    said = before.others.tocoo()
    places = owners[said.row], items[said.col]
    model.others = sparse.csr_matrix((said.data, places), shape)
    model.others.sort_indices()
    return model


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(neighbours=5),
        Parameters(
            decay=0.95, prior=2, neighbours=30, neighbour_weight=3.2, popular_baskets=3,
            popularity_weight=1.0,
        ),
    ],
    ids=["few neighbours", "many neighbours"],
)  # fmt: skip
def test_rows_between_two_builds_are_those_of_all_histories_with_what_was_learned(
    parameters: Parameters, seed: int, tmp_path: Path
) -> None:
    lines = random_purchases(range(100, 150), range(10, 90), range(1000, 1200, 2), seed)
    known = as_history(purchases(lines))
    model = fit(known.baskets, parameters)
    write_learned(tmp_path, learned_of(model, known))
    learned, neighbours = read_learned(tmp_path), neighbours_of(model, known)

    # Some buy again, also what nobody has bought, also at an earlier day; one for the first time.
    more = random_purchases(range(148, 153), range(50, 99), range(1001, 1250), seed + 1)
    more += [(100, 10, 1003), (101, 95, 1000)]
    after = as_history(purchases(lines + more))
    expected = recommend_by(by_what_was_learned(model, known, after), after)

    asked = sorted({line[0] for line in more})
    for households in ([one] for one in asked), [asked], [after.households.tolist()]:
        for some in households:
            theirs = [line for line in lines + more if line[0] in some]
            said = neighbours.filter(pc.is_in(neighbours["household_key"], pa.array(some)))
            found = learned.recommend(table_of_lines(theirs), said, after.last_day)
            of_them = pc.is_in(expected["household_key"], pa.array(some))
            assert found.equals(expected.filter(of_them))
    # Without new baskets they are what was learned, and new ones change them.
    before = recommend_by(model, known)
    assert learned.recommend(table_of_lines(lines), neighbours).equals(before)
    assert not learned.recommend(table_of_lines(lines + more), neighbours).equals(before)


def test_where_nobody_has_bought_anything_nothing_is_recommended(tmp_path: Path) -> None:
    write_learned(tmp_path, nothing_learned())
    model = fit(ordered_baskets([[[0]], [[0]]], 1), Parameters())
    known = as_history(purchases([(1, 5, 50), (2, 5, 50)]))
    said = neighbours_of(model, known)
    assert read_learned(tmp_path).recommend(table_of_lines([(7, 8, 50)]), said).num_rows == 0


def test_who_has_one_basket_is_expected_back_after_the_usual_gap() -> None:
    rows = [(1, 10, 5), (1, 16, 5), (2, 10, 5), (2, 20, 5), (3, 12, 5)]
    baskets = as_history(purchases(rows)).baskets
    assert baskets.gap.tolist() == pytest.approx([6, 10, 8])
