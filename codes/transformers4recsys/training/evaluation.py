"""The evaluation loop: encode each batch, rank its labels among all items, sum the metrics up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from transformers4recsys.batch import Batch
from transformers4recsys.data.engine import Engine
from transformers4recsys.metrics.ranking import popularity_ranks, rank_bounds
from transformers4recsys.metrics.streaming import StreamingMean, StreamingMetrics
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.outputs import ModelOutput, Predictions
from transformers4recsys.terminal import progress_bar

# Scores held at a time: 128 MiB of them keep a large catalogue from filling the memory.
SCORES_AT_A_TIME = 2**25

OnPredictions = Callable[[Predictions], None]
OnAttentions = Callable[[Tensor, tuple[Tensor, ...]], None]


@dataclass(frozen=True)
class Evaluation:
    """How to evaluate: on each n-th batch only, over which catalogue share, with what written along the way."""

    every_n_batches: int = 1
    predict_top_k: int = 10

    @torch.no_grad()
    def run(
        self,
        model: NextItemModel,
        engine: Engine,
        *,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager],
        description: str,
        max_batches: int | None = None,
        on_predictions: OnPredictions | None = None,
        on_attentions: OnAttentions | None = None,
    ) -> dict[str, float | None]:
        """Give the means over all targets of the engine's batches, over all processes; None without any target.

        Beside the metrics: `loss`, the cross-entropy over the catalogue whatever the training loss is;
        `unseen_label_share`; `num_targets`; and the metrics of the most popular items so far.
        """
        was_training = model.training
        model.eval()
        metrics, popular = StreamingMetrics(device), StreamingMetrics(device)
        loss, unseen = StreamingMean(device), StreamingMean(device)
        ranks_of_popularity = popularity_ranks(model.item_counts)
        num_batches = min(len(engine), max_batches if max_batches is not None else len(engine))
        with progress_bar(description, num_batches) as advance:
            for step, batch in enumerate(engine.batches(0)):
                if step == num_batches:
                    break
                advance()
                if step % self.every_n_batches:
                    continue
                batch = batch.to(device)
                with autocast():
                    output = model(batch)
                if on_attentions is not None and output.attentions is not None:
                    on_attentions(output.inputs, output.attentions)
                for part in _parts(output, SCORES_AT_A_TIME // len(model.item_table)):
                    with autocast():
                        scores_PV = model.scores(part.hidden)
                    is_unseen_P = model.item_counts[part.labels] == 0
                    ranks = rank_bounds(scores_PV, part.labels)
                    metrics.update(ranks, is_unseen_P)
                    popular.update(ranks_of_popularity.of(part.labels), is_unseen_P)
                    loss.update(torch.nn.functional.cross_entropy(scores_PV, part.labels, reduction="none"))
                    unseen.update(is_unseen_P)
                    if on_predictions is not None:
                        per_target = metrics.per_target(ranks, is_unseen_P)
                        on_predictions(self._predictions(model, batch, part, scores_PV, per_target))
        model.train(was_training)
        numbers = metrics.result() | {"loss": loss.result(), "unseen_label_share": unseen.result()}
        numbers["num_targets"] = metrics.num_targets()
        return numbers | {f"most_popular_{name}": value for name, value in popular.result().items()}

    def _predictions(
        self, model: NextItemModel, batch: Batch, part: ModelOutput, scores_PV: Tensor, metrics: dict[str, Tensor]
    ) -> Predictions:
        row_P, position_P = part.positions.unbind(1)
        items = batch.columns[model.schema.item_id.name]
        value_index_P = items.offsets[row_P] + position_P
        top = scores_PV.topk(min(self.predict_top_k, scores_PV.shape[1] - 1), dim=1)
        return Predictions(
            labels=part.labels,
            item_ids=top.indices,
            scores=top.values,
            positions=position_P,
            lengths=items.lengths[row_P],
            metrics=metrics,
            metadata={f.name: batch.columns[f.name].values[value_index_P] for f in model.schema.metadata},
        )


def _parts(output: ModelOutput, size: int) -> Iterator[ModelOutput]:
    """Split the predictions of a batch so that the scores of one part fit."""
    size = max(size, 1)
    for start in range(0, len(output.labels), size):
        rows = slice(start, start + size)
        yield ModelOutput(None, output.hidden[rows], output.labels[rows], output.positions[rows], output.inputs)
