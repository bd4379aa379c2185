"""Content of items from the data folder and from a file of vectors: what is read, what is refused, and whole runs."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ContentSettings
from transformers4recsys.recommender import Recommender
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.schema import Schema
from transformers4recsys.training.item_content import read_item_data, read_vectors

# Even items are one kind, odd ones the other; the last of each is never trained on.
COLD = (29, 30)


@pytest.fixture
def folder(tmp_path):
    """The parts of a data folder that say what items are: id 4 is a spare one, 3 is of no known category."""
    (tmp_path / "vocabulary").mkdir()
    write(tmp_path / "vocabulary" / "item_id.parquet", raw=["a", "b", "c"], id=[1, 2, 3])
    write(tmp_path / "vocabulary" / "category.parquet", raw=[70, 80], id=[1, 2])
    items = {"raw": ["a", "b", "c"], "id": [1, 2, 3], "category": [80, 70, None], "price": [1.0, None, 3.0]}
    write(tmp_path / "items.parquet", **items, title=["x", "y", "z"])
    return tmp_path


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def read(folder, earlier=None, **settings):
    entries = {"item_id": {"dtype": "categorical", "cardinality": 5, "is_label": True}}
    schema = Schema.from_entries(entries)
    return read_item_data(ContentSettings(**settings), schema, data_path=str(folder), earlier=earlier)


def test_columns_of_the_item_table_by_item_id(folder):
    data = read(folder, item_features=("category", "price"))
    assert data.codes["category"].tolist() == [0, 2, 1, 0, 0]
    assert data.numbers["price"].tolist() == [0, -1, 0, 1, 0]
    assert data.scales["price"].tolist() == [2, 1] and data.vectors is None
    assert read(folder) is None


def test_columns_that_cannot_be_used_are_refused(folder):
    with pytest.raises(InputError, match="`item_features` 'categry' is unknown; did you mean category"):
        read(folder, item_features=("categry",))
    with pytest.raises(InputError, match="`item_features` title: neither numbers nor a column with a vocabulary"):
        read(folder, item_features=("title",))
    (folder / "items.parquet").unlink()
    with pytest.raises(InputError, match=r"has no items.parquet, which `preprocess` writes"):
        read(folder, item_features=("category",))


def test_vectors_by_item_id_each_of_the_same_size(folder, caplog):
    vectors = [[3.0, 4.0], [0.0, 0.0], [7.0, 7.0]]
    path = write(folder / "v.parquet", id=["c", "b", "new"], vector=pa.array(vectors, pa.list_(pa.float32(), 2)))
    with caplog.at_level(logging.INFO):
        found = read(folder, item_vectors=str(path)).vectors
    root = 12.5**0.5
    expected = [[0, 0], [0, 0], [0, 0], [3 / root, 4 / root], [0, 0]]
    assert torch.allclose(found, torch.tensor(expected))
    assert "3 vectors of width 2; 1 are of no item of this run, 1 are all zeros; 3 items without one" in caplog.text


LISTS = pa.list_(pa.float64())
BAD = {
    "two columns": {"id": ["a"], "vector": pa.array([[1.0]], LISTS), "more": [1]},
    "row 1 .from 0.: another width than the 2": {"id": ["a", "b"], "vector": pa.array([[1.0, 2.0], [1.0]], LISTS)},
    "row 1 .from 0.: the list is missing": {"id": ["a", "b"], "vector": pa.array([[1.0], None], LISTS)},
    "row 0 .from 0.: a number is missing, NaN": {"id": ["a", "b"], "vector": pa.array([[np.nan], [1.0]], LISTS)},
    "row 1 .from 0.: a number is missing": {"id": ["a", "b"], "vector": pa.array([[2.0], [None]], LISTS)},
    "column id: an id occurs twice": {"id": ["a", "a"], "vector": pa.array([[1.0], [2.0]], LISTS)},
    "column id: an id is missing": {"id": ["a", None], "vector": pa.array([[1.0], [2.0]], LISTS)},
    "never floats": {"id": [1.0], "vector": pa.array([[1.0]], LISTS)},
    "no id of column id is the raw id": {"id": ["z"], "vector": pa.array([[1.0]], LISTS)},
    "has no rows": {"id": pa.array([], pa.string()), "vector": pa.array([], LISTS)},
}


@pytest.mark.parametrize("message", BAD)
def test_vectors_that_cannot_be_used_are_refused(folder, message):
    path = write(folder / "v.parquet", **BAD[message])
    with pytest.raises(InputError, match=f"`item_vectors`.*{message}"):
        read(folder, item_vectors=str(path))


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match="`item_vectors` .*nowhere.parquet cannot be read as parquet"):
        read(folder, item_vectors=str(folder / "nowhere.parquet"))


@pytest.fixture
def two_kinds(toy_days, tmp_path, write_day):
    """Sessions of items of one kind each, and a file of vectors that says which kind each item is."""
    generator = np.random.default_rng(0)
    for day in ("2019-10-01", "2019-10-02"):
        rows = [(generator.integers(1, 15, 4) * 2 - number % 2).tolist() for number in range(120)]
        write_day(day, "train", rows)
        write_day(day, "valid", [[*row[:2], COLD[row[0] % 2 == 0]] for row in rows[:40]])
    kinds = [[1.0, 0.2] if item % 2 else [-1.0, 0.2] for item in range(1, 31)]
    return write(tmp_path / "vectors.parquet", id=list(range(1, 31)), vector=pa.array(kinds, LISTS))


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"constrained_embeddings": True, "unknown_share": 0.3},
        {"loss_type": "sampled_softmax", "num_sampled_negatives": 8, "sparse_item_updates": True},
        {"use_ohe_item_ids_inputs": True, "freeze_item_vectors": True},
    ],
    ids=str,
)
def test_items_without_a_click_are_recommended_where_they_belong(run_train, two_kinds, flags):
    flags = {"end_date": "2019-10-02", "num_train_epochs": 8, "report_cold": True, **flags}
    run = run_train("cold", item_vectors=two_kinds, **flags)
    [numbers] = Recommender.load(run).results.to_pylist()
    # Of 30 items 15 are of the kind of the session.
    assert numbers["eval_cold_recall@20"] > 0.95 and numbers["eval_unseen_label_share"] == 0.5
    both = numbers["eval_cold_recall@20"] + numbers["eval_seen_recall@20"]
    assert numbers["eval_recall@20"] == pytest.approx(both / 2)

    two_kinds.unlink()
    scores = Recommender.load(run).scores([[1, 3], [2, 4]])
    assert scores[0, 29] > scores[0, 30] and scores[1, 30] > scores[1, 29]


def test_a_run_that_goes_on_takes_new_vectors_and_keeps_the_old_ones(run_train, two_kinds, toy_days, capsys):
    flags = {"item_vectors": two_kinds, "constrained_embeddings": True}
    out = run_train("out", end_date="2019-10-02", **flags)
    before = RunFolder.open(out).weights()
    features = yaml.safe_load((toy_days / "features.yaml").read_text())
    for name in ("item_id", "bef_item_id"):
        features[name]["cardinality"] = 33
    (toy_days / "features.yaml").write_text(yaml.safe_dump(features, sort_keys=False))
    run_train("out", exit_code=2, constrained_embeddings=True, resume_from_checkpoint="true")
    assert "was trained with item vectors: give --item_vectors" in capsys.readouterr().err

    # Of the items so far one has another vector now.
    write(two_kinds, id=[5, 32], vector=pa.array([[9.0, 9.0], [1.0, -1.0]], LISTS))
    near = run_train("near", resume_from_checkpoint=out, learning_rate=0.0, new_items="features", **flags)
    after = RunFolder.open(run_train("out", resume_from_checkpoint="true", learning_rate=0.0, **flags)).weights()
    # An item without a vector has none near to it.
    [table] = [name for name in before if name.startswith("features.tables.") and len(before[name]) == 31]
    are_alike = RunFolder.open(near).weights()[table] == after[table]
    assert are_alike.all(1).tolist() == [True] * 32 + [False]
    name = "features.content.data.vectors.weight"
    assert torch.equal(after[name][:31], before[name])
    assert after[name][31:].tolist() == [[0, 0], [1, -1]]
    told = capsys.readouterr().err
    assert "2 vectors of width 2; 0 are of no item of this run, 0 are all zeros; 1 item without one" in told
    assert "the mean of all items is taken" not in told
    write(two_kinds, id=[5], vector=pa.array([[9.0]], LISTS))
    run_train("out", exit_code=2, resume_from_checkpoint="true", **flags)
    assert "the width is 1, and that of the run to go on with is 2" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [[], [99]], ids=["no rows", "of items that nobody has clicked yet"])
def test_a_day_without_vectors_of_use_keeps_those_that_there_are(folder, ids):
    before = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.5, 2.0]])
    path = write(folder / "v.parquet", id=[str(each) for each in ids], vector=pa.array([[1.0, 1.0]] * len(ids), LISTS))
    vocabulary = folder / "vocabulary" / "item_id.parquet"
    assert vocabulary.exists()
    found = read_vectors(str(path), vocabulary, 5, before=before)
    assert found.tolist() == [*before.tolist(), [0, 0], [0, 0]]


def test_a_run_that_was_stopped_ends_with_the_same_bits(run_train, two_kinds):
    flags = {"item_vectors": two_kinds, "unknown_share": 0.2, "num_train_epochs": 2}
    whole = RunFolder.open(run_train("whole", **flags)).weights()
    run_train("parts", end_date="2019-10-02", **flags)
    parts = RunFolder.open(run_train("parts", resume_from_checkpoint="true", **flags)).weights()
    assert whole.keys() == parts.keys() and any(name.startswith("features.counts.") for name in whole)
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
