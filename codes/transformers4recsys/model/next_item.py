"""The whole model: columns, vectors, encoder, targets, scores and loss in a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from transformers4recsys.batch import IS_PAST, Batch, moved, with_past
from transformers4recsys.counted_items import CountsItems, sessions_with_items
from transformers4recsys.model.content import with_row_of_unseen
from transformers4recsys.model.encoders import Encoder
from transformers4recsys.model.encoders.packing import padded, real_places
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.negatives import of_positions
from transformers4recsys.model.numeric import NumericMoments
from transformers4recsys.model.objectives.inputs import LossInputs, Objective
from transformers4recsys.model.popularity_shift import PopularityShift
from transformers4recsys.model.replaced_items import ReplacedItems
from transformers4recsys.model.scoring import ItemScorer, without_padding
from transformers4recsys.model.targets import TargetRule
from transformers4recsys.model.unknown import is_replaced
from transformers4recsys.outputs import ModelOutput, Targets
from transformers4recsys.row_shards import RowShards
from transformers4recsys.schema import Schema

# From here on the gradient of a whole item table counts: its memory, and the time to fill it with zeros.
MANY_ITEMS = 100_000


class NextItemModel(CountsItems):
    """Learns to predict the next item of each session.

    `item_counts` (V,) says how often each item stood in the training sessions so far: what was never
    seen, and what is popular. A training loop of one's own calls observe() before it trains on sessions.
    """

    has_gradients: Literal[True] = True

    def __init__(
        self,
        schema: Schema,
        *,
        features: FeatureEmbedder,
        encoder: Encoder,
        scorer: ItemScorer,
        objective: Objective,
        training_targets: TargetRule,
        evaluation_targets: TargetRule,
        counts_from_end: bool = False,
        has_attentions: bool = False,
        replaced_items: ReplacedItems | None = None,
        popularity_shift: PopularityShift | None = None,
    ):
        super().__init__(schema.item_id.cardinality)
        self.schema, self.objective = schema, objective
        self.features, self.encoder, self.scorer = features, encoder, scorer
        self.training_targets, self.evaluation_targets = training_targets, evaluation_targets
        # Then even a causal encoder needs a place behind the session, where the next item will stand.
        self.counts_from_end = counts_from_end
        # Then its encoder shows in evaluation how each item of a session is read, the last one too.
        self.has_attentions = has_attentions
        # A second task in training, which has no part in scores.
        self.replaced_items = replaced_items
        # No part of the loss: what is trained on is past. A training loop of one's own tells it of each day.
        self.popularity_shift = popularity_shift
        # What a hidden position shows in place of its item and all its features.
        hides_inputs = training_targets.hides_inputs
        self.masked_item = nn.Parameter(torch.randn(features.d_model) * 0.01) if hides_inputs else None
        self._seen_ids_S, self._version = torch.empty(0, dtype=torch.long), -1

    @property
    def item_table(self) -> Tensor:
        """The vectors that score items, (V, E); with content, what is known of each item is part of them."""
        content = self.features.content
        if content is None:
            return self.scorer.vectors(self.output_weights)
        rows_VE = self._with_unseen(self.output_weights)
        return self.scorer.vectors(rows_VE + content.output_rows(torch.arange(len(rows_VE), device=rows_VE.device)))

    @property
    def bias(self) -> Tensor:
        """What is added to the score of each item, (V,); -inf for padding."""
        if self.popularity_shift is None:
            return self._learned_bias
        shift_V = self.popularity_shift.of_items()
        return self._learned_bias + (shift_V if self.shards is None else self.shards.part_of(shift_V))

    @property
    def _learned_bias(self) -> Tensor:
        if self.features.content is None:
            return self.scorer.bias
        return without_padding(self._with_unseen(self.scorer.item_bias)[:, 0])

    def _with_unseen(self, rows_VE: Tensor) -> Tensor:
        return with_row_of_unseen(rows_VE, self.item_counts, has_unknown=self.features.unknown_share > 0)

    @property
    def reads_unknown(self) -> bool:
        """Whether it was trained to read unknown items."""
        return self.features.unknown_share > 0

    @property
    def is_rankable_V(self) -> Tensor:
        """Whether each item has a score that means something: it was seen in training, or has content, (V,)."""
        is_seen_V, content = self.item_counts > 0, self.features.content
        return is_seen_V if content is None else is_seen_V | content.is_known_V

    @property
    def output_weights(self) -> Tensor:
        """What the vectors of items are made of, (V, E)."""
        return self.features.item_table.weight if self.scorer.table is None else self.scorer.table

    @property
    def shards(self) -> RowShards | None:
        """Which rows of item tables and bias are here, where processes share them out."""
        return self.features.shards

    @property
    def has_sparse_gradients(self) -> bool:
        """Whether gradients of item tables and bias, where they are read by row, hold the rows of a batch alone."""
        return self.features.item_table.sparse

    @property
    def weights_of_items(self) -> dict[str, nn.Parameter]:
        """The weights, by name, with a row for each item."""
        found = {id(weight) for weight in (self.features.item_table.weight, self.scorer.table, self.scorer.item_bias)}
        return {name: weight for name, weight in self.named_parameters() if id(weight) in found}

    @property
    def weights_by_row(self) -> dict[str, nn.Parameter]:
        """The weights, by name, whose gradients hold the rows of a batch alone; empty where gradients are whole."""
        if not self.has_sparse_gradients:
            return {}
        found: list[Tensor | None] = [self.features.item_table.weight]
        content = self.features.content
        if content and content.vectors and content.vectors.sparse:
            found.append(content.vectors.weight)
        if not self.objective.reads_all_items:
            found += [self.scorer.table, self.scorer.item_bias]
        of_rows = {id(weight) for weight in found if weight is not None and weight.requires_grad}
        return {name: weight for name, weight in self.named_parameters() if id(weight) in of_rows}

    def observe(self, batches: Iterable[Batch]) -> None:
        """Read the sessions that will be trained on once, before that: count items, and scale numeric columns.

        Labels that were not counted are misses in evaluation, and pairwise losses draw negatives by these counts.
        """
        counts_V, sessions_V = np.zeros((2, len(self.item_counts)), np.int64)
        moments = NumericMoments(len(self.features.numeric))
        for batch in batches:
            items = batch.columns[self.schema.item_id.name].to("cpu")
            values_N, session_N = items.values.numpy(), np.repeat(np.arange(len(batch)), items.lengths.numpy())
            np.add.at(counts_V, values_N, 1)
            sessions_V += sessions_with_items(values_N, session_N, len(counts_V))
            moments.add([batch.columns[feature.name].values.cpu() for feature in self.features.numeric])
        self.add_counts(torch.tensor(counts_V), torch.tensor(sessions_V))
        if self.features.scale is not None and moments.count:
            self.features.scale.fit(moments.mean_C.numpy().tolist(), moments.std_C.numpy().tolist())

    def make_gradients_sparse(self) -> None:
        """Let them from now on. A table that is read by row and as a whole has whole gradients: nothing is gained."""
        self.features.item_table.sparse = True
        content = self.features.content
        if content and content.vectors and not self.objective.reads_all_items:
            content.vectors.sparse = True

    def forward(self, batch: Batch) -> ModelOutput:
        """Encode a batch; with a loss in training, without one in evaluation, where scores are wanted."""
        # What lengths, ids and draws say is worked out on the CPU, and sent on to a device that goes on meanwhile.
        as_read, device = batch.host, batch.device
        own_lengths_B = as_read.columns[self.schema.item_id.name].lengths
        on_host = with_past(as_read, self.schema) if self.schema.past else as_read
        batch = on_host.to(device) if self.schema.past else batch
        rule = self.training_targets if self.training else self.evaluation_targets
        items = on_host.columns[self.schema.item_id.name]
        item_ids_BL = items.padded(items.max_length)  # columns of negatives are longer
        is_past_BL = on_host.padded(IS_PAST, items.max_length) if self.schema.past else item_ids_BL < 0
        targets = rule.select(item_ids_BL, is_past_BL)
        read = batch if self._reads_last(rule) else batch.without_last(self._columns_read)
        own = read.host.columns[self.schema.item_id.name]
        padding_mask_BL = own.is_not_padding(own.max_length)
        inputs_BLD = padded(self.features(read), padding_mask_BL)
        if self.masked_item is not None:
            is_masked_BL1 = moved(targets.is_target[..., None], device)
            inputs_BLD = torch.where(is_masked_BL1, self.masked_item, inputs_BLD)
        order = () if targets.order is None else (targets.order,)
        encoded = self.encoder(inputs_BLD, padding_mask_BL, *order)

        place_P = real_places(targets.is_target[:, : own.max_length], device)
        hidden_PE = self.scorer.project(encoded.hidden.flatten(0, 1).index_select(0, place_P))
        labels_P = moved(targets.item_ids[targets.is_target], device)
        row_P, position_P = targets.is_target.nonzero().unbind(1)
        label_position_P = position_P - (items.lengths - own_lengths_B)[row_P] + (not rule.hides_inputs)
        positions_P2 = torch.stack([row_P, label_position_P], dim=1)
        loss = self._loss(as_read, hidden_PE, labels_P, positions_P2) if self.training else None
        if loss is not None and self.replaced_items is not None:
            loss = self._with_replaced(self.replaced_items, loss, batch, padding_mask_BL, targets, hidden_PE)
        attentions = encoded.attentions if self._shows_attentions else None
        return ModelOutput(loss, hidden_PE, labels_P, moved(positions_P2, device), item_ids_BL, attentions)

    def _reads_last(self, rule: TargetRule) -> bool:
        """Whether the last item of a session is read, though no state that predicts the next item sees it."""
        return rule.hides_inputs or self.counts_from_end or self._shows_attentions

    @property
    def _shows_attentions(self) -> bool:
        return self.has_attentions and not self.training

    @property
    def _columns_read(self) -> list[str]:
        return [feature.name for feature in self.schema.inputs] + ([IS_PAST] if self.schema.past else [])

    def _loss(self, on_host: Batch, hidden_PE: Tensor, labels_P: Tensor, positions_P2: Tensor) -> Tensor:
        row_P, position_P = positions_P2.unbind(1)
        content, unknown_share = self.features.content, self.features.unknown_share
        rows_V = None
        if content and unknown_share:
            is_unknown_V = is_replaced(self.item_counts, unknown_share)
            rows_V = torch.arange(len(is_unknown_V), device=is_unknown_V.device).masked_fill(is_unknown_V, 0)
        item, negative = self.schema.item_id, self.schema.negatives_of(self.schema.item_id)
        negatives_PK = None
        if negative:
            lengths_B = on_host.columns[item.name].lengths
            negatives_PK = of_positions(on_host.columns[negative.name], lengths_B, row_P, position_P)
            negatives_PK = moved(negatives_PK, hidden_PE.device)
        return self.objective(
            LossInputs(
                hidden_PE=hidden_PE,
                labels_P=labels_P,
                row_P=moved(row_P, hidden_PE.device),
                item_table_VE=self.output_weights,
                item_bias_V1=self.scorer.item_bias,
                item_counts_V=self.item_counts,
                negatives_PK=negatives_PK,
                has_sparse_gradients=self.has_sparse_gradients,
                content_rows=content.output_rows if content else None,
                seen_ids_S=self._seen_ids() if content else None,
                rows_V=rows_V,
                to_vectors=self.scorer.vectors,
                shards=self.shards,
            )
        )

    def _seen_ids(self) -> Tensor:
        """Give padding and the items seen so far, (S,); they change once a day."""
        version = self.item_counts._version
        if version != self._version or self._seen_ids_S.device != self.item_counts.device:
            is_seen_V = self.item_counts > 0
            is_seen_V[0] = True
            self._seen_ids_S, self._version = is_seen_V.nonzero()[:, 0], version
        return self._seen_ids_S

    def _with_replaced(
        self,
        task: ReplacedItems,
        loss: Tensor,
        batch: Batch,
        padding_mask_BL: Tensor,
        targets: Targets,
        hidden_PE: Tensor,
    ) -> Tensor:
        """Add the loss of telling, at each position of the current session, items of the model's from real ones."""
        number_BL = padding_mask_BL.flatten().cumsum(0).view_as(padding_mask_BL) - 1
        device = hidden_PE.device
        with torch.no_grad():
            other, is_replaced_N = task.draw(
                batch,
                [feature.name for feature in self.schema.inputs],
                item=self.schema.item_id.name,
                place_P=moved(number_BL[targets.is_target], device),
                hidden_PE=hidden_PE,
                table_VE=self.item_table,
                bias_V=self._learned_bias,
            )
        encoder = self.encoder if task.encoder is None else task.encoder
        hidden_BLD = encoder(padded(self.features(other), padding_mask_BL), padding_mask_BL).hidden
        hidden_ND = hidden_BLD.flatten(0, 1).index_select(0, real_places(padding_mask_BL, device))
        if self.schema.past:
            own_M = moved((~batch.host.columns[IS_PAST].values).nonzero()[:, 0], device)
            hidden_ND, is_replaced_N = hidden_ND.index_select(0, own_M), is_replaced_N.index_select(0, own_M)
        return task.weighted(loss, task.loss(hidden_ND, is_replaced_N))

    def scores(self, hidden_PE: Tensor) -> Tensor:
        """Score every item, (P, V); padding scores -inf."""
        return torch.nn.functional.linear(hidden_PE, self.item_table, self.bias).float()
