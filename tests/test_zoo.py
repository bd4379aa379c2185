"""The zoo trains all there is, and what it calls refused is refused."""

import csv
import sys
from pathlib import Path

import pytest

from transformers4recsys.commands import train
from transformers4recsys.errors import InputError
from transformers4recsys.flags import FlagParser
from transformers4recsys.model.build import build_model
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.model.objectives.negative_columns import SIMILARITIES
from transformers4recsys.schema import Schema
from transformers4recsys.settings import from_values

ROOT = Path(__file__).parents[1]
SOME_THAT_LOOK_AHEAD = {"albert", "bert", "electra", "longformer", "modernbert", "roberta"}
SOME_OF_EACH = SOME_THAT_LOOK_AHEAD | {"gpt2", "xlnet", "gru", "avgseq", "llama", "sasrec"}
CATEGORICAL = {"dtype": "categorical", "cardinality": 30, "emb_table": "item_id"}
SCHEMA = Schema.from_entries(
    {
        "item_id": {**CATEGORICAL, "is_label": True},
        "bef_item_id": CATEGORICAL,
        "_neg_item_id": CATEGORICAL,
        "price": {"dtype": "float"},
    },
    past_prefix="bef_",
)


@pytest.fixture(scope="module")
def zoo():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import zoo

    yield zoo
    sys.path.remove(str(ROOT / "benchmarks"))


def is_refused(zoo, combination, folder):
    flags = zoo.train_flags(combination, zoo.SHOP, folder)
    try:
        settings = from_values(train.SETTINGS, FlagParser(train.SETTINGS).values_of(flags))
        build_model(SCHEMA, settings.model, max_length=settings.data.sessions.max_length)
    except InputError as error:
        assert "reads a session in both directions" in str(error)
        return True
    return False


def test_it_covers_every_encoder_task_loss_and_similarity(zoo):
    listed = zoo.combinations()
    assert {(c.encoder, c.task) for c in listed} == {(e, t) for e in ENCODERS for t in ("causal", "masked")}
    assert {c.loss for c in listed} == OBJECTIVES.keys()
    similarities = {(c.loss, s) for c in listed for s in SIMILARITIES if f"--similarity_type {s}" in c.loss_flags}
    assert similarities == {(loss, s) for loss in zoo.losses("negative_column") for s in SIMILARITIES}
    assert len({c.key for c in listed}) == len(listed)


def test_encoders_that_look_ahead_are_refused_and_nothing_else(zoo, tmp_path):
    refused = {(c.encoder, c.task) for c in zoo.combinations() if is_refused(zoo, c, tmp_path)}
    assert {task for _, task in refused} == {"causal"}
    assert {name for name, _ in refused} & SOME_OF_EACH == SOME_THAT_LOOK_AHEAD


def test_the_kept_table_has_no_failure(zoo):
    rows = zoo.rows_of(zoo.DOCS / zoo.CSV)
    assert not [row for row in rows if row["remark"].startswith("failed")]


def test_it_goes_on_with_what_is_missing(zoo, tmp_path):
    first, second, *_ = listed = zoo.combinations()
    row = dict(zip(zoo.COLUMNS, first.key, strict=False)) | {"shop_ndcg@10": 0.1}
    zoo.append(tmp_path / "zoo.csv", row)
    rows = zoo.rows_of(tmp_path / "zoo.csv")
    assert zoo.missing_of(rows, listed, [zoo.SHOP])[0] == second
    assert zoo.missing_of(rows, listed, [zoo.SHOP, zoo.ESHOP])[0] == first


def test_metrics_are_means_over_the_last_days(zoo, tmp_path):
    with (tmp_path / "eval_train_results_dates.csv").open("w", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "eval_ndcg@10", "eval_recall@20", "eval_most_popular_ndcg@10"])
        writer.writerows([[day, day, 2 * day, 0.5] for day in range(1, 10)])
    numbers = zoo.numbers_of(tmp_path, zoo.ESHOP)
    assert numbers == {"eshop2008_ndcg@10": 6, "eshop2008_recall@20": 12, "eshop2008_popular_ndcg@10": 0.5}
