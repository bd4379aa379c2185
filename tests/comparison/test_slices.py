import datetime

import pyarrow as pa
import pytest

from transformers4recsys.comparison.runs import Items
from transformers4recsys.comparison.slices import slices_of

FIRST, SECOND = datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)


def vocabulary(counts, first_days):
    ids = range(1, len(counts) + 1)
    columns = {"raw": [f"sku-{i}" for i in ids], "id": list(ids), "count": counts, "first_day": first_days}
    return pa.table(columns)


def test_thirds_of_events_by_hand():
    # Of 12 events, item 2 has 4, item 1 another 4, items 3 and 4 two each.
    items = Items.of(vocabulary([4, 4, 2, 2], [FIRST] * 4))
    assert items.thirds[1:].tolist() == [0, 1, 2, 2]
    assert items.raw_ids == [None, "sku-1", "sku-2", "sku-3", "sku-4"]


def test_means_over_kinds_of_targets(make_run):
    targets = [("a", 1, 1, 2, 1.0), ("b", 1, 2, 5, 0.5), ("b", 2, 3, 5, 0.0), ("c", 1, 9, 20, 0.25)]
    run = make_run("run", {"2026-01-02": targets}, vocabulary=vocabulary([9, 1, 1], [FIRST, FIRST, SECOND]))
    found = {(each.kind, each.name): (each.targets, each.means["ndcg@20"]) for each in slices_of(run, ["ndcg@20"])}
    assert found["items in the session", "2 to 3"] == (1, 1.0)
    assert found["items in the session", "4 to 6"] == (2, 0.25)
    assert found["items in the session", "13 or more"] == (1, 0.25)
    assert found["item", "most popular third of events"] == (1, 1.0)
    # Item 9 is not in the vocabulary.
    assert found["item", "seen on an earlier day"] == (2, 0.75)
    assert found["item", "first seen on this day"] == (1, 0.0)


def test_a_metric_that_was_not_logged_has_no_mean(make_run):
    run = make_run("run", {"2026-01-02": [("a", 1, 1, 2, 1.0)]})
    (each,) = slices_of(run, ["mrr@20"])
    assert each.means == {"mrr@20": None} and each.targets == 1


def test_runs_without_predictions_have_no_slices(make_run):
    run = make_run("run", {"2026-01-02": [("a", 1, 1, 2, 1.0)]})
    run.predictions_of("2026-01-02").unlink()
    assert slices_of(run, ["ndcg@20"]) == []


@pytest.mark.parametrize("hour", ["2026-01-02-05"])
def test_an_item_of_an_hour_is_new_on_its_day(make_run, hour):
    words = vocabulary([1, 1], [FIRST, SECOND])
    run = make_run("run", {hour: [("a", 1, 1, 2, 1.0), ("b", 1, 2, 2, 0.5)]}, vocabulary=words)
    found = {each.name: each.targets for each in slices_of(run, ["ndcg@20"])}
    assert found["seen on an earlier day"] == found["first seen on this day"] == 1
