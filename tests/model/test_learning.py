"""Every loss and every encoder learns first-order Markov sessions: a stated share of the best recall@10 there is."""

import numpy as np
import pytest
import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.reformer import ReformerSettings
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.objectives import OBJECTIVES, LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.objectives.negative_columns import SIMILARITIES
from transformers4recsys.model.scoring import ItemScorer, ScorerSettings
from transformers4recsys.model.targets import CausalLastTarget, CausalTargets, MaskedLastTarget, MaskedTargets
from transformers4recsys.schema import Schema
from transformers4recsys.settings import Parts, from_values

NEGATIVE_COLUMN_LOSSES = sorted(name for name, loss in OBJECTIVES.items() if loss.kind == "negative_column")
NUM_REAL, LENGTH, WIDTH, NUM_NEGATIVES = 100, 8, 32, 10
SCHEMA = Schema.from_entries(
    {
        "item_id": {"dtype": "categorical", "cardinality": NUM_REAL + 1, "is_label": True},
        "_neg_item_id": {"dtype": "categorical", "cardinality": NUM_REAL + 1, "emb_table": "item_id"},
    }
)


def transitions():
    """Each item has four followers that share 0.88; the rest is spread over all items."""
    generator = np.random.default_rng(0)
    chances = np.full((NUM_REAL, NUM_REAL), 0.12 / NUM_REAL)
    for row in chances:
        row[generator.choice(NUM_REAL, 4, replace=False)] += 0.22
    return chances


CHANCES = transitions()
CUMULATED = CHANCES.cumsum(axis=1)
BEST_RECALL = np.sort(CHANCES, axis=1)[:, -10:].sum(axis=1).mean()


def sessions(generator, num):
    items = [generator.integers(NUM_REAL, size=num)]
    for _ in range(LENGTH - 1):
        places = generator.random(num)[:, None] > CUMULATED[items[-1]]
        items.append(np.minimum(places.sum(axis=1), NUM_REAL - 1))
    return torch.from_numpy(np.stack(items, axis=1) + 1)


def batch_of(items_BL, generator):
    offsets = torch.arange(len(items_BL) + 1) * LENGTH
    negatives = torch.from_numpy(generator.integers(1, NUM_REAL + 1, size=items_BL.numel() * NUM_NEGATIVES))
    return Batch(
        {
            "item_id": Jagged(items_BL.flatten(), offsets, LENGTH),
            "_neg_item_id": Jagged(negatives, offsets * NUM_NEGATIVES, LENGTH * NUM_NEGATIVES),
        }
    )


def recall(model, score_items):
    """The share of next items among the ten best of all items; `score_items` reads (P, E)."""
    generator = np.random.default_rng(99)
    model.eval()
    with torch.no_grad():
        output = model(batch_of(sessions(generator, 1000), generator))
        scores_PV = score_items(output.hidden)
        scores_PV[:, 0] = -torch.inf
        return float((scores_PV.topk(10).indices == output.labels[:, None]).any(dim=1).float().mean())


def trained(name, *, encoder="gru", is_masked=False, num_steps=250, learning_rate=0.01, **settings):
    torch.manual_seed(0)
    objective = make_objective(
        from_values(
            LossSettings,
            {
                "loss_type": name,
                "negative_sampling": True,
                "neg_sampling_store_size": 10_000,
                "num_sampled_negatives": 32,
                **settings,
            },
        ),
        LossSetup(width=WIDTH, num_items=NUM_REAL + 1, has_negative_column=True),
    )
    sizes = EncoderSettings(
        WIDTH,
        n_layer=1,
        n_head=2,
        dropout=0.0,
        max_length=LENGTH,
        is_causal=not is_masked,
        attn_type="bi" if is_masked else "uni",
        initializer_range=0.1,
        own=Parts({ReformerSettings: ReformerSettings(axial_pos_shape_first_dim=2)}),
    )
    model = NextItemModel(
        SCHEMA,
        features=FeatureEmbedder(SCHEMA, d_model=WIDTH, item_width=WIDTH, initializer_range=0.1),
        encoder=ENCODERS[encoder](sizes),
        scorer=ItemScorer(
            WIDTH,
            ScorerSettings("tanh"),
            num_items=NUM_REAL + 1,
            table_width=WIDTH,
            initializer_range=0.1,
        ),
        objective=objective,
        training_targets=MaskedTargets(0.3) if is_masked else CausalTargets(),
        evaluation_targets=MaskedLastTarget() if is_masked else CausalLastTarget(),
    ).train()
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=learning_rate), np.random.default_rng(1)
    for _ in range(num_steps):
        items_BL = sessions(generator, 64)
        model.item_counts += torch.bincount(items_BL.flatten(), minlength=NUM_REAL + 1)
        loss = model(batch_of(items_BL, generator)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


FAST = ("bpr_max", "cross_entropy", "gbce")


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in sorted(OBJECTIVES)]
)
def test_loss_learns(name):
    model = trained(name, neg_rescale_factor=1.0, similarity_type="cosine", bpr_max_reg_lambda=0.1)
    assert recall(model, model.scores) > 0.9 * BEST_RECALL


@pytest.mark.slow
@pytest.mark.parametrize("name", NEGATIVE_COLUMN_LOSSES)
def test_cosine_loss_on_negatives_alone_learns(name):
    model = trained(name, all_rescale_factor=0.0, neg_rescale_factor=1.0, similarity_type="cosine", num_steps=500)
    assert recall(model, model.scores) > 0.9 * BEST_RECALL


# With ten negatives a label, margin_hinge_a leaves the network that reads both side by side at 0 for every pair.
PAIRS = [(n, s) for n in NEGATIVE_COLUMN_LOSSES for s in sorted(SIMILARITIES)]
PAIRS.remove(("margin_hinge_a", "concat_mlp"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "similarity"), PAIRS)
def test_similarity_learns_beside_the_loss_over_the_catalogue(name, similarity):
    model = trained(name, neg_rescale_factor=1.0, similarity_type=similarity)
    of = model.objective.objectives[1].similarity

    def score_items(hidden_PE):
        items_PVE = model.item_table.expand(len(hidden_PE), -1, -1)
        return of(hidden_PE[:, None], items_PVE)

    assert recall(model, score_items) > 0.85 * BEST_RECALL


# Those that read in both directions cannot do the causal task.
BOTH_WAYS = {"albert", "bert", "electra", "longformer", "modernbert", "roberta"}
# The mean of a session says little of its last item, all that counts here.
SHARE_OF_THE_BEST = {"avgseq": 0.4}
# Reformer reaches .89 to .94 of the best with other seeds.
SHARE_OF_THE_BEST_WHEN_MASKED = SHARE_OF_THE_BEST | {"reformer": 0.85}
# Absolute positions, read in both directions from masked items, take more and smaller steps than the others.
SLOW_WHEN_MASKED = BOTH_WAYS | {"gpt2", "reformer", "xlnet"}
QUICK, PATIENT = {"num_steps": 250, "learning_rate": 0.01}, {"num_steps": 1500, "learning_rate": 0.003}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "gpt2" else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(ENCODERS.keys() - BOTH_WAYS)
    ],
)
def test_encoder_learns_next_items(name):
    model = trained("cross_entropy", encoder=name, **QUICK)
    assert recall(model, model.scores) > SHARE_OF_THE_BEST.get(name, 0.95) * BEST_RECALL


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encoder_learns_masked_items(name):
    pace = PATIENT if name in SLOW_WHEN_MASKED else QUICK
    model = trained("cross_entropy", encoder=name, is_masked=True, **pace)
    assert recall(model, model.scores) > SHARE_OF_THE_BEST_WHEN_MASKED.get(name, 0.9) * BEST_RECALL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_steps", "flags"),
    [
        (800, {"plm": True, "plm_probability": 0.4, "plm_max_span_length": 3}),
        (400, {"rtd": True, "mlm_probability": 0.3, "attn_type": "bi", "rtd_tied_generator": True}),
        (400, {"rtd": True, "mlm_probability": 0.3, "attn_type": "bi", "rtd_sample_from_batch": True}),
    ],
    ids=["permuted", "replaced, one encoder", "replaced, two encoders"],
)
def test_the_tasks_of_the_paper_learn(num_steps, flags):
    sizes = {"d_model": WIDTH, "n_layer": 1, "n_head": 2, "dropout": 0.0, "initializer_range": 0.1}
    choice = {"model_type": "xlnet", "constrained_embeddings": True, "rtd_discriminator_loss_weight": 1}
    settings = from_values(ModelSettings, {**sizes, **choice, **flags})
    model = build_model(SCHEMA, settings, max_length=LENGTH).train()
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=0.01), np.random.default_rng(1)
    for _ in range(num_steps):
        items_BL = sessions(generator, 64)
        loss = model(batch_of(items_BL, generator)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert recall(model, model.scores) > 0.85 * BEST_RECALL
