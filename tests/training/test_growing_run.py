"""A run goes on where the vocabulary has grown."""

import pytest
import torch
import yaml

from transformers4recsys.run_folder import RunFolder

NEW_ITEMS = [35, 36, 35, 40]
COUNTS = {"item_counts", "session_counts", "popularity_shift.last_day", "popularity_shift.window"}


def grow(toy_days, cardinality):
    path = toy_days / "features.yaml"
    features = yaml.safe_load(path.read_text())
    for name in ("item_id", "bef_item_id"):
        features[name]["cardinality"] = cardinality
    path.write_text(yaml.safe_dump(features, sort_keys=False))


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"constrained_embeddings": True},
        {"mf_constrained_embeddings": True, "item_embedding_dim": 8},
        {"use_ohe_item_ids_inputs": True},
        {"loss_type": "gbce"},
        {"loss_type": "sampled_softmax", "sparse_item_updates": True},
        {"loss_type": "sampled_softmax", "item_optimizer": "rowwise_adagrad"},
        {"loss_type": "bpr_max", "negative_sampling": True, "neg_sampling_store_size": 100},
        {"mlm": True, "model_type": "bert"},
        {"popularity_shift": True},
    ],
    ids=str,
)
def test_it_trains_on_and_old_rows_that_are_not_read_keep_their_bits(run_train, toy_days, write_day, flags):
    before = RunFolder.open(run_train("out", end_date="2019-10-02", **flags)).weights()
    grow(toy_days, 41)
    for split in ("train", "valid"):
        write_day("2019-10-02", split, [NEW_ITEMS] * 20)
        write_day("2019-10-03", split, [NEW_ITEMS] * 20)

    run = RunFolder.open(run_train("out", resume_from_checkpoint="true", learning_rate=0.0, **flags))

    after = run.weights()
    tables = [name for name, value in before.items() if len(value.shape) and after[name].shape != value.shape]
    assert "item_counts" in tables and len(tables) >= 3
    for name in tables:
        assert len(after[name]) == 41
        if name not in COUNTS:
            assert torch.equal(after[name][:31], before[name])
            known = before[name][before["item_counts"] > 0]
            assert torch.allclose(after[name][31:].mean(0), known.mean(0), atol=0.02)
    for name in COUNTS & set(tables):
        assert after[name][35:].tolist() == [20 if name == "session_counts" else 40, 20, 0, 0, 0, 20]
    assert run.schema.item_id.cardinality == 41


def test_a_vocabulary_that_shrank_is_refused(run_train, toy_days, capsys):
    run_train("out", end_date="2019-10-02")
    grow(toy_days, 31)
    features = yaml.safe_load((toy_days / "features.yaml").read_text())
    features["item_id"]["cardinality"] = features["bef_item_id"]["cardinality"] = 30
    (toy_days / "features.yaml").write_text(yaml.safe_dump(features))

    run_train("out", exit_code=2, resume_from_checkpoint="true")

    assert "cardinality" in capsys.readouterr().err
