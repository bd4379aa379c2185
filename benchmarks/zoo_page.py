"""The page and the picture that the table of the zoo becomes."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Row = dict[str, str]

NUMBERS = {
    "shop_ndcg@10": "shop NDCG@10",
    "shop_recall@20": "shop recall@20",
    "eshop2008_ndcg@10": "eshop2008 NDCG@10",
    "eshop2008_recall@20": "eshop2008 recall@20",
    "shop_events_per_s": "shop events/s",
    "eshop2008_events_per_s": "eshop2008 events/s",
}
PANELS = {
    "shop_ndcg@10": "NDCG@10, shop",
    "eshop2008_ndcg@10": "NDCG@10, eshop2008",
    "shop_events_per_s": "thousand events/s, shop",
}
BLUE, ORANGE, GREY = "#1f5fbf", "#c2571a", "#777777"

# What flags are called in the table and in the picture; the longest first.
SHORT = {
    "--all_rescale_factor 0 --neg_rescale_factor 1 --similarity_type cosine": "cosine alone",
    "--neg_rescale_factor 1 --similarity_type ": "+ catalogue, ",
    "--label_smoothing_factor": "smoothing",
    "--bpr_max_reg_lambda": "lambda",
    "--margin_loss": "margin",
    "--negative_sampling": "",
    "--mf_constrained_embeddings": "mf_constrained_embeddings",
    "--use_ohe_item_ids_inputs": "one-hot item",
    "--constrained_embeddings": "tied",
    "--inp_merge attn": "+ merged by attention",
    "--session_aware": "+ past sessions",
}

OPENING = """\
# What runs, how well, how fast

Every encoder, task, loss and kind of input, trained for a few days by one command, `make zoo`. The table is
[zoo.csv](zoo.csv); this page and the picture are written from it.

![NDCG@10 on both data sets and training speed of every combination](zoo.png)

**Read it as a check that all of it runs, and as a first guess, not as a ranking.** The budget is small, one set of
sizes and one learning rate serve everyone, and each number is one run with one seed: differences below .01 say
nothing.

- **shop**: made up by `simulate`, 2,000 sessions a day, 1,662 items. Trained on the second and third day, {shop}
  epochs each; metrics of the fourth, on its valid half.
- **eshop2008**: real clicks, 213 items ([datasets/eshop2008](../datasets/eshop2008/README.md)). Trained on each of 13
  days together with all days before it since 17 June, {eshop} epoch each; metrics are the mean over the last 7 days.
- **All**: the item id alone as input, unless a row says otherwise; `--constrained_embeddings` (one table for inputs
  and output weights: "tied"); d_model 64, 1 layer, 2 heads, dropout .1, 64 sessions a batch, learning rate .003.
  Metrics: last item of each session, ranked over all items. Masked runs get **twice the epochs**, as each session
  gives them fewer targets, with `--mlm_probability 0.3`, and `--attn_type bi` for xlnet.
- **events/s**: events of the training sessions over processor seconds spent in the Trainer's `train()`: reading,
  forward, backward, optimizer, one thread. Two such processes shared two cores with other work; seconds of the
  processor suffer less from that than those of the clock, yet the same run differed by up to a third.

The most popular items of all days so far reach NDCG@10 {popular}.
"""

ENCODERS = """\
## Encoders

With `cross_entropy`. Causal: each item of a session is predicted from those before it. Masked (`--mlm`): some items
are hidden and predicted from both sides; at evaluation the last one alone is hidden. An encoder that reads in both
directions would see the item that it is to predict, and is refused for the causal task with a message that says so.

**When to choose which.** Begin with `gpt2`, causal: every position is a target, so it learns most from a session.
`gru`, `lstm` and `rnn` come close on short sessions, need no positions and are as fast or faster; `gru4rec` is the
layout of its paper. `llama` and `qwen3` are GPT-2 with newer parts (rotary positions, gated feed-forward), level with
it here. `xlnet` and `transfoxl` see distances, not places: the best two on eshop2008, at two thirds of the speed.
`reformer` is made for sequences far longer than a session and only costs time here, and so is `longformer`; `mamba`
runs step by step without its GPU kernels and takes several times as long. `avgseq` is the mean of the session so far:
fast, and best of all on the made-up shop, where a session has a taste and its order says little; last on real clicks,
where order counts. Try it first, to learn which of the two your log is. `sasrec` is what `preprocess` chooses up to
10,000 items; `ligr` has gates and a wider network, for long histories. `core`, the choice above 10,000, is a mean
again, whose weights a GPT-2 chooses: sessions stay in the space of the items. It is the one for short sessions over
tens of thousands of items, with
`--constrained_embeddings --tf_out_activation none --inp_merge none --score cosine --temperature .07`: on
[Diginetica](../datasets/diginetica/README.md#measured) far ahead of GPT-2 and learned in half the epochs; on the 213
items of eshop2008 behind `sasrec` (NDCG@20 .259 against .270).

Masked training lies behind causal training at this budget, even with twice the epochs (`xlnet` and `core` on the shop
excepted), least so for `xlnet`, `transfoxl` and the recurrent networks. It pays with many epochs over a fixed set of
long histories, less so on a stream of days.
"""

LOSSES = """\
## Losses

GPT-2, causal. `cross_entropy` compares each label with the whole catalogue, and is the one to begin with as long as
that fits; label smoothing helps where clicks are noisy and items few.

**For catalogues too large to score at each step**: `sampled_softmax` (256 shared negatives, corrected for how often
each is drawn) and `gbce` (a calibrated binary loss). With the few items here they come close to `cross_entropy` and
save no time. **Pairwise losses** (`--negative_sampling`) compare with the labels of the other sessions of the batch
and 32 drawn items. On the shop all but `bpr` do better than `cross_entropy`, on eshop2008 all do worse: try
them on your log. `bpr_max` and `top1_max` weigh the hard negatives, which
matters the more negatives there are; `_reg` keeps scores small. They profit from large batches.
"""

NEGATIVES = """\
## Losses on negative columns

GPT-2, causal, with ten negatives a position that `preprocess --neg_samples 10 --neg_strategy recent_popularity`
wrote. Choose them where you know which items were shown and not clicked, or want to say yourself what a hard negative
is.

Items are ranked by inner product with the hidden state. A `cosine` loss shapes that product and may stand alone
("cosine alone": `--all_rescale_factor 0 --neg_rescale_factor 1`); the small networks of `concat_mlp` and `multi_mlp`
shape a score of their own, so they run beside the loss over the catalogue ("+ catalogue": both factors 1), which is
what ranks: those rows are near plain `cross_entropy`, as they should be. Alone, take `margin_hinge_b`, where a label
weighs as much as its ten negatives together, or `cross_entropy_neg`. **`margin_hinge_a` alone does no better than the
most popular items here**: ten negatives outweigh the label and are pushed below a cosine of 0; a `--margin_loss` of
.3 lets it learn, as would the loss over the catalogue beside it. `cross_entropy_neg_1d` is the same formula as
`cross_entropy_neg`, kept for its name.
"""

INPUTS = """\
## Inputs

GPT-2, causal, `cross_entropy`; compare with the first row of the encoders, "tied". Two tables (no flag) learn slower
than one. `--use_ohe_item_ids_inputs` (one-hot items, not tied) reads each item by weights as wide as d_model, in
place of a narrow table: it does as well as tied here, and costs as much memory as two wide tables.
**`--mf_constrained_embeddings` scores with the input table at its own width, `ceil(2 x cardinality^0.25)`** (13
numbers for the shop, 8 for eshop2008): the smallest model, made for very many items, and at this budget barely above
the most popular items.

All columns (category, price, time and so on, "all columns") pay with more days than these; `--inp_merge attn` weighs
the columns for each event instead of mixing them by one layer, and takes longer still to learn: far behind on the
shop here. `--session_aware` puts the user's past sessions in front (eshop2008 has no users): choose it where people
come back to the same things; its past adds nothing in this shop.
"""

SECTIONS = {"encoders": ENCODERS, "losses": LOSSES, "losses on negative columns": NEGATIVES, "inputs": INPUTS}


def write_page(path: Path, rows: list[Row], *, epochs: dict[str, int]) -> None:
    """Write the text with a table a group."""
    popular = [f"{value} on {name}" for name in epochs if (value := _first(rows, f"{name}_popular_ndcg@10"))]
    text = OPENING.format(shop=epochs["shop"], eshop=epochs["eshop2008"], popular=" and ".join(popular))
    for group, about in SECTIONS.items():
        text += f"\n{about}\n{_table([row for row in rows if row['group'] == group])}\n"
    refused = [row for row in rows if row["remark"].startswith("refused")]
    if refused:
        text += "\n## Refused\n\n" + "\n".join(
            f"- `{row['encoder']}`, {row['task']}: {first_words(row)}" for row in refused
        )
        text += "\n"
    path.write_text(text, encoding="utf-8")


def first_words(row: Row) -> str:
    """Give a refusal up to its colon."""
    return row["remark"].removeprefix("refused: ").split(":")[0]


def short(words: str) -> str:
    """Say in the table's words what flags say."""
    for flags, name in SHORT.items():
        words = words.replace(flags, name)
    return " ".join(words.split())


def _first(rows: list[Row], column: str) -> str:
    return next((f"{float(row[column]):.3f}" for row in rows if row[column]), "")


def _table(rows: list[Row]) -> str:
    lines = [
        "| encoder | task | loss | inputs | " + " | ".join(NUMBERS.values()) + " |",
        "|---|---|---|---|" + "---:|" * len(NUMBERS),
    ]
    for row in rows:
        names = [row["encoder"], row["task"], short(row["loss"]), short(row["inputs"]) or "two tables"]
        cells = [_cell(name, row[name]) for name in NUMBERS]
        if row["remark"]:
            cells[0] = row["remark"].split(":")[0]
        lines.append(f"| {' | '.join(names + cells)} |")
    return "\n".join(lines)


def _cell(column: str, value: str) -> str:
    if not value:
        return "-"
    return f"{round(float(value), -2):,.0f}" if column.endswith("events_per_s") else f"{float(value):.3f}"


def write_plot(path: Path, rows: list[Row]) -> None:
    """Draw a dot for each combination: encoders above, losses and inputs below."""
    rows = [row for row in rows if not row["remark"]]
    encoders = [row for row in rows if row["group"] == "encoders"]
    others = [row for row in rows if row["group"] != "encoders"]
    figure, axes = plt.subplots(
        2,
        len(PANELS),
        figsize=(12, 13),
        layout="constrained",
        sharey="row",
        sharex="col",
        height_ratios=[len({row["encoder"] for row in encoders}) + 1, len(others) + 1],
    )
    for column, name in enumerate(PANELS):
        of_encoder: Callable[[Row], str] = lambda row: row["encoder"]  # noqa: E731
        _dots(axes[0, column], name, encoders, of_encoder)
        _dots(axes[1, column], name, others, _label_of_other)
        axes[0, column].set_title(PANELS[name])
        axes[0, column].set_xlim(left=0)
    axes[0, 0].set_ylabel("encoders, cross_entropy")
    axes[1, 0].set_ylabel("GPT-2, causal: losses and inputs")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=3, loc="outside lower center")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _label_of_other(row: Row) -> str:
    return short(row["inputs"]) or "two tables" if row["group"] == "inputs" else short(row["loss"])


def _dots(axes: Axes, column: str, rows: list[Row], label: Callable[[Row], str]) -> None:
    places: dict[str, int] = {}
    for row in rows:
        places.setdefault(label(row), len(places))
    for task, color, marker in (("causal", BLUE, "o"), ("masked", ORANGE, "s")):
        shown = [row for row in rows if row["task"] == task and row[column]]
        values = [float(row[column]) / (1000 if column.endswith("per_s") else 1) for row in shown]
        axes.plot(values, [places[label(row)] for row in shown], marker, color=color, label=task, markersize=6)
    popular = _first(rows, column.replace("_ndcg", "_popular_ndcg")) if column.endswith("ndcg@10") else ""
    if popular:
        axes.axvline(float(popular), linestyle=":", color=GREY, label="most popular items")
    axes.set_yticks(range(len(places)), list(places))
    axes.set_ylim(max(len(places), 1) - 0.5, -0.5)
    axes.grid(alpha=0.25)
    axes.tick_params(labelbottom=True)
    axes.spines[["top", "right"]].set_visible(False)
