"""The evaluation loop: encode each batch, rank its labels among all items, sum the metrics up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from transformers4recsys.baselines.model import BaselineModel
from transformers4recsys.batch import ALL_ITEMS, Batch, dummy_batch
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.metrics.by_name import METRICS_BY_NAME, KnownItems, MetricsByName, RankedTargets
from transformers4recsys.metrics.catalogue import rank_among_all, top_items
from transformers4recsys.metrics.diversity import CATEGORY_DIVERSITY, INTRA_LIST_DIVERSITY
from transformers4recsys.metrics.marked_items import EarlierItems, ranks_without
from transformers4recsys.metrics.ranking import METRICS, PopularityRanks
from transformers4recsys.metrics.shared_catalogue import rank_among_shared, top_shared
from transformers4recsys.metrics.sparse_scores import SortedBias
from transformers4recsys.metrics.streaming import StreamingMean, StreamingMetrics
from transformers4recsys.model.content import ItemData
from transformers4recsys.models import AnyModel
from transformers4recsys.outputs import ModelOutput, Predictions, SparseScores
from transformers4recsys.settings import check, setting
from transformers4recsys.terminal import progress_bar

OnPredictions = Callable[[Predictions], None]
# The baseline that is always there: it needs the counts of the items alone.
MOST_POPULAR = "most_popular"
OnAttentions = Callable[[Tensor, tuple[Tensor, ...]], None]


@dataclass(frozen=True)
class Evaluation:
    """Evaluation: on which batches, and how long the lists are that are logged"""

    compute_metrics_each_n_steps: int = setting(1, "metrics on each n-th evaluation batch only", at_least=1)
    predict_top_k: int = setting(10, "length of logged lists", at_least=1)
    exclude_seen_in_evaluation: bool = setting(
        False, "do not rank the items that stand in the session before the label; the label itself always is ranked"
    )
    metrics: tuple[str, ...] = setting((), "further metrics by name, see docs/metrics.md", choices=METRICS_BY_NAME)
    diversity_columns: tuple[str, ...] = setting(
        (),
        "categorical columns of the item table, such as category brand, each with a number of its own",
        used_if=lambda own: CATEGORY_DIVERSITY in own.metrics,
        unused_because="`metrics` has no category_diversity",
    )
    diversity_vectors: str | None = setting(
        None,
        "parquet of raw item ids and lists of floats, whose cosines say how alike two items of a list are",
        used_if=lambda own: INTRA_LIST_DIVERSITY in own.metrics,
        unused_because="`metrics` has no intra_list_diversity",
    )
    report_cold: bool = setting(
        False, "metrics over the labels of earlier training sessions alone (seen_), and over all others (cold_)"
    )

    def __post_init__(self) -> None:
        if always := [name for name in self.metrics if name in METRICS]:
            raise InputError(f"`metrics` {' '.join(always)}: always reported, at each cut-off; leave it out")
        check(self)
        for metric, name, given in (
            (CATEGORY_DIVERSITY, "diversity_columns", self.diversity_columns),
            (INTRA_LIST_DIVERSITY, "diversity_vectors", self.diversity_vectors),
        ):
            if metric in self.metrics and not given:
                raise InputError(f"`metrics` {metric} compares the items of a list: give `{name}`, see docs/metrics.md")

    @torch.no_grad()
    def run(
        self,
        model: AnyModel,
        reader: Reader,
        *,
        device: torch.device | None = None,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        description: str = "evaluate",
        max_batches: int | None = None,
        on_predictions: OnPredictions | None = None,
        on_attentions: OnAttentions | None = None,
        beside: Mapping[str, BaselineModel] = MappingProxyType({}),
        items: ItemData | None = None,
    ) -> dict[str, float | None]:
        """Give the means over all targets of the reader's batches, over all processes; None without any target.

        Beside the metrics: `loss`, the cross-entropy over the catalogue whatever the training loss is;
        `unseen_label_share`; `num_targets`; and, by their names in front, the metrics of the most popular items so far
        and of the baselines `beside` the model, on the same targets. What is known of `items` says how diverse a list
        is. With `report_cold` also metrics over the seen labels alone, and over the unseen ones, which are no misses
        there. With `exclude_seen_in_evaluation` also `repeated_label_share`, of the labels that stand in their session
        already.
        Raise DivergedError where a score is not a finite number: it is no miss.
        """
        _require_usable(model, wants_attentions=on_attentions is not None)
        device = device or model.item_counts.device
        was_training = model.training
        model.eval()
        by_name = partial(MetricsByName, self.metrics, _known(model, items or ItemData()), device)
        own, baselines = _Metrics(device, by_name), _Baselines(model, beside, partial(_Metrics, device, by_name))
        loss, unseen, repeated = StreamingMean(device), StreamingMean(device), StreamingMean(device)
        seen, cold = StreamingMetrics(device), StreamingMetrics(device)
        is_unseen_V, is_miss_V = model.item_counts == 0, ~model.is_rankable_V
        with autocast():
            table_VE, order = _for_products(model.item_table), SortedBias(model.bias)
        rank, top, batches, num_batches = _ways(model, reader, order, max_batches)
        with progress_bar(description, num_batches) as advance:
            for step, batch in enumerate(batches):
                if step == num_batches:
                    break
                advance()
                if step % self.compute_metrics_each_n_steps:
                    continue
                batch = batch.to(device)
                with autocast():
                    output = model(batch)
                if on_attentions is not None and output.attentions is not None and step < len(reader):  # no dummy
                    on_attentions(output.inputs, output.attentions)
                earlier = self._earlier(batch, output, model.schema.item_id.name)
                scores = output.hidden, table_VE, order.bias_V
                ranks, loss_P = rank(*scores, output.labels, excluded=earlier)
                is_unseen_P, is_miss_P = is_unseen_V[output.labels], is_miss_V[output.labels]
                best = partial(top, *scores, excluded=earlier)
                own.update(RankedTargets(ranks, is_miss_P, output.labels, output.positions[:, 1]), best)
                baselines.update(batch, output, earlier, is_unseen_P)
                if earlier is not None:
                    repeated.update(earlier.hold_label())
                loss.update(loss_P)
                unseen.update(is_unseen_P)
                if self.report_cold:
                    seen.update(ranks, is_counted_P=~is_unseen_P)
                    cold.update(ranks, is_counted_P=is_unseen_P)
                if on_predictions is not None:
                    _require_numbers(loss_P.sum().item(), description)
                    per_target = own.always.per_target(ranks, is_miss_P)
                    on_predictions(self._predictions(model, batch, output, per_target, best(self.predict_top_k)))
        model.train(was_training)
        numbers = own.result() | {"loss": loss.result(), "unseen_label_share": unseen.result()}
        _require_numbers(numbers["loss"], description)
        if self.exclude_seen_in_evaluation:
            numbers["repeated_label_share"] = repeated.result()
        numbers["num_targets"] = own.always.num_targets()
        groups = baselines.metrics | ({"seen": seen, "cold": cold} if self.report_cold else {})
        return numbers | {
            f"{of}_{name}": value for of, group in groups.items() for name, value in group.result().items()
        }

    def _earlier(self, batch: Batch, output: ModelOutput, item_name: str) -> EarlierItems | None:
        """Mark the items before each target in its whole row, where they are not to be ranked."""
        if not self.exclude_seen_in_evaluation:
            return None
        own = batch.columns[item_name]
        whole = batch.columns.get(ALL_ITEMS, own)
        row_P, position_P = output.positions.unbind(1)
        num_before_B = whole.lengths - own.lengths
        return EarlierItems(whole.padded(whole.max_length), row_P, position_P + num_before_B[row_P], output.labels)

    def _predictions(
        self,
        model: AnyModel,
        batch: Batch,
        output: ModelOutput,
        metrics: dict[str, Tensor],
        best: tuple[Tensor, Tensor],
    ) -> Predictions:
        row_P, position_P = output.positions.unbind(1)
        items = batch.columns[model.schema.item_id.name]
        value_index_P = items.offsets[row_P] + position_P
        item_ids_PK, scores_PK = best
        return Predictions(
            labels=output.labels,
            item_ids=item_ids_PK,
            scores=scores_PK,
            positions=position_P,
            lengths=items.lengths[row_P],
            metrics=metrics,
            metadata={f.name: batch.columns[f.name].values[value_index_P] for f in model.schema.metadata},
        )


def _ways(
    model: AnyModel, reader: Reader, order: SortedBias, max_batches: int | None
) -> tuple[Any, Any, Iterator[Batch], int]:
    """Give the functions that rank labels and that find the best items, the batches, and how many to evaluate.

    Processes that share item tables out need each other for each batch: those without one take part with a dummy.
    """
    batches, shards = reader.batches(0), model.shards
    num_batches = len(reader) if shards is None else reader.num_steps
    num_batches = num_batches if max_batches is None else min(num_batches, max_batches)
    if shards is None:
        return partial(rank_among_all, order=order), partial(top_items, order=order), batches, num_batches
    batches = chain(batches, [dummy_batch(model.schema)] * (reader.num_steps - len(reader)))
    return partial(rank_among_shared, shards=shards), partial(top_shared, shards=shards), batches, num_batches


def _known(model: AnyModel, items: ItemData) -> KnownItems:
    device = model.item_counts.device
    return KnownItems(
        model.item_counts,
        model.session_counts,
        {name: codes_V.to(device) for name, codes_V in items.codes.items()},
        None if items.vectors is None else items.vectors.to(device),
    )


def _require_numbers(loss: float | None, description: str) -> None:
    """Raise DivergedError where a score was NaN, or infinite: the loss over all scores is not finite then."""
    if loss is not None and not math.isfinite(loss):
        raise DivergedError(
            f"{description}: a score of an item is not a finite number (the loss is {loss}), so no metric means "
            "anything; nothing of this day is saved. Look for damaged weights, or train with a lower `learning_rate`"
        )


class _Metrics:
    """The metrics that are `always` there, and those by name, of a model or a baseline."""

    def __init__(self, device: torch.device, by_name: Callable[[], MetricsByName]):
        self.always, self._by_name = StreamingMetrics(device), by_name()

    def update(self, targets: RankedTargets, best: Callable[[int], tuple[Tensor, Tensor]]) -> None:
        self.always.update(targets.ranks, targets.is_miss)
        self._by_name.update(targets, best)

    def result(self) -> dict[str, float | None]:
        return self.always.result() | self._by_name.result()


class _Baselines:
    """Ranks the labels of each batch by baselines too; `metrics` by their names, the most popular items first."""

    def __init__(self, model: AnyModel, beside: Mapping[str, BaselineModel], make_metrics: Callable[[], _Metrics]):
        self._counts_V, self._popularity = model.item_counts, PopularityRanks(model.item_counts)
        self._by_counts = SortedBias(model.item_counts.double())
        self._beside = {name: (baseline, SortedBias(baseline.bias)) for name, baseline in beside.items()}
        self.metrics = {name: make_metrics() for name in (MOST_POPULAR, *beside)}

    def update(self, batch: Batch, output: ModelOutput, earlier: EarlierItems | None, is_unseen_P: Tensor) -> None:
        """Add the targets of a batch."""
        ranks = self._popularity.of(output.labels)
        if earlier is not None:
            ranks = ranks_without(earlier, ranks, self._counts_V, output.labels)
        targets = RankedTargets(ranks, is_unseen_P, output.labels, output.positions[:, 1])
        by_counts = SparseScores.of_none(len(output.labels), output.labels.device), None, self._by_counts.bias_V
        best = partial(top_items, *by_counts, excluded=earlier, order=self._by_counts)
        self.metrics[MOST_POPULAR].update(targets, best)
        for name, (baseline, order) in self._beside.items():
            scores = baseline.scores_before(batch, output.positions), None, order.bias_V
            ranks, _ = rank_among_all(*scores, output.labels, excluded=earlier, order=order)
            best = partial(top_items, *scores, excluded=earlier, order=order)
            self.metrics[name].update(replace(targets, ranks=ranks), best)


def _require_usable(model: AnyModel, *, wants_attentions: bool) -> None:
    """Raise InputError where a model that was made in Python lacks what an evaluation needs."""
    if not model.has_counted:
        raise InputError(
            "the model has not counted the items of any training session, so every label would be a miss; "
            "call `observe` with the training batches before training, or load the weights of a run"
        )
    if wants_attentions and model.has_gradients and not model.has_attentions:
        raise InputError(
            "the model gives no attention weights: build NextItemModel, and the EncoderSettings of its encoder, "
            "with has_attentions=True"
        )


def _for_products(table_VE: Tensor | None) -> Tensor | None:
    """Give the table in the precision that products have here, once for all batches."""
    if table_VE is None:
        return None
    device = table_VE.device.type
    return table_VE.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else table_VE
