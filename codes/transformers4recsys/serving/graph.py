"""A trained model as one graph: padded sessions in, hidden states or the best items out; it can run elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.errors import InputError
from transformers4recsys.model.next_item import NextItemModel


class SessionGraph(nn.Module):
    """The hidden state that scores the item behind each session, (B, E).

    The columns of a session, its history in front where the model reads one, are padded on the right with 0 to
    (B, L); the item is in `item_column`. Every session has at least one item. Each step is one of tensors alone, with
    no loop over sessions.
    """

    def __init__(self, model: NextItemModel):
        super().__init__()
        self.features, self.encoder, self.scorer = model.features, model.encoder, model.scorer
        if model.training_targets.task == "permuted":
            raise InputError("a model of the task `plm` cannot be exported, as its two streams have no graph here")
        self.item_column, self.masked_item = model.schema.item_id.name, model.masked_item
        self.has_next_place = model.masked_item is not None or model.counts_from_end

    def forward(self, columns_BL: dict[str, Tensor]) -> Tensor:
        if self.has_next_place:
            # Behind the last item stands the mask, or what a causal encoder counts and does not see.
            columns_BL = {name: nn.functional.pad(column_BL, (0, 1)) for name, column_BL in columns_BL.items()}
        item_ids_BL = columns_BL[self.item_column]
        num_sessions, length = item_ids_BL.shape
        padding_mask_BL = item_ids_BL != 0
        last_B = padding_mask_BL.sum(1) - 1
        inputs_BLD = self.features(_flat(columns_BL)).unflatten(0, (num_sessions, length))
        if self.has_next_place:
            is_next_BL = torch.arange(length, device=last_B.device) == last_B[:, None] + 1
            padding_mask_BL = padding_mask_BL | is_next_BL
            if self.masked_item is not None:
                last_B = last_B + 1
                inputs_BLD = torch.where(is_next_BL[..., None], self.masked_item, inputs_BLD)
        hidden_BLD = self.encoder(inputs_BLD, padding_mask_BL).hidden
        place_B1D = last_B[:, None, None].expand(-1, 1, hidden_BLD.shape[-1])
        return self.scorer.project(hidden_BLD.gather(1, place_B1D)[:, 0])


class RecommendationGraph(nn.Module):
    """The `k` best items of each session, padding and excluded items left out.

    Ids that stand for no item, where `is_item_V` is false, are never among them.
    """

    def __init__(self, model: NextItemModel, *, k: int, is_item_V: Tensor | None = None):
        super().__init__()
        self.session, self.k = SessionGraph(model), k
        self.item_table_VE: Tensor
        self.register_buffer("item_table_VE", model.item_table.detach())
        bias_V = model.bias.detach()
        self.bias_V: Tensor
        self.register_buffer("bias_V", bias_V if is_item_V is None else bias_V.masked_fill(~is_item_V, -torch.inf))

    def forward(self, columns_BL: dict[str, Tensor], excluded_BX: Tensor) -> tuple[Tensor, Tensor]:
        """Give item ids (B, k), best first, and their scores; `excluded_BX` are ids padded with 0."""
        scores_BV = nn.functional.linear(self.session(columns_BL), self.item_table_VE, self.bias_V)
        # Item 0, which pads the excluded ids, has a score of -inf already.
        scores_BV = scores_BV.scatter(1, excluded_BX, -torch.inf)
        scores_BK, item_ids_BK = scores_BV.topk(self.k, dim=1)
        return item_ids_BK, scores_BK


def _flat(columns_BL: dict[str, Tensor]) -> Batch:
    """Make a batch whose sessions are all as long as the padding makes them."""
    num_sessions, length = next(iter(columns_BL.values())).shape
    offsets = torch.arange(num_sessions + 1) * length
    return Batch({name: Jagged(column_BL.flatten(), offsets, length) for name, column_BL in columns_BL.items()})
