"""Replaced item detection: telling real items from those that a model put in their place (Clark 2020, ELECTRA)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from transformers4recsys.batch import Batch
from transformers4recsys.model.encoders import Encoder
from transformers4recsys.model.targets import TargetSettings

# Scores of so many targets at a time are held with all items.
ROWS_AT_A_TIME = 256


class ReplacedItems(nn.Module):
    """Puts sampled items in place of the targets, and scores each position: is this item a replaced one?

    `encoder` reads the changed session; None where the generator's own does.
    """

    def __init__(self, d_model: int, settings: TargetSettings, encoder: Encoder | None):
        super().__init__()
        self.settings, self.encoder = settings, encoder
        self.head = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU(), nn.Linear(d_model, 1))

    def draw(
        self,
        batch: Batch,
        names: Sequence[str],
        *,
        item: str,
        place_P: Tensor,
        hidden_PE: Tensor,
        table_VE: Tensor,
        bias_V: Tensor,
    ) -> tuple[Batch, Tensor]:
        """Put items that the generator samples at the targets' places; say which of the N positions changed.

        `place_P` numbers the targets among the batch's N real positions. The model reads the columns of `names`; `item`
        is that of its items.
        """
        items_N = batch.columns[item].values
        labels_P = items_N[place_P]
        if self.settings.rtd_sample_from_batch:
            source_N = torch.arange(len(items_N), device=items_N.device)
            source_N[place_P] = place_P[self._drawn_targets(hidden_PE, table_VE, bias_V, labels_P)]
            changed = {
                name: replace(batch.columns[name], values=batch.columns[name].values[source_N]) for name in names
            }
        else:
            drawn_P = torch.cat([*self._drawn_items(hidden_PE, table_VE, bias_V)])
            of_items = batch.columns[item]
            changed = {item: replace(of_items, values=items_N.index_copy(0, place_P, drawn_P))}
        other = Batch({**batch.columns, **changed})
        return other, other.columns[item].values != items_N

    def loss(self, hidden_ND: Tensor, is_replaced_N: Tensor) -> Tensor:
        """Give the binary cross entropy, a mean over the positions given."""
        logits_N = self.head(hidden_ND).squeeze(-1).float()
        return binary_cross_entropy_with_logits(logits_N, is_replaced_N.float())

    def weighted(self, generator_loss: Tensor, discriminator_loss: Tensor) -> Tensor:
        """Give the sum of both tasks' losses by their weights."""
        settings = self.settings
        return (
            settings.rtd_generator_loss_weight * generator_loss
            + settings.rtd_discriminator_loss_weight * discriminator_loss
        )

    @staticmethod
    def _drawn_targets(hidden_PE: Tensor, table_VE: Tensor, bias_V: Tensor, labels_P: Tensor) -> Tensor:
        """Sample one of the targets for each, (P,): an item that several have counts once."""
        scores_PP = hidden_PE @ table_VE[labels_P].to(hidden_PE.dtype).T + bias_V[labels_P]
        number_P = (labels_P[:, None] == labels_P).sum(1)
        return _sampled(scores_PP - number_P.log())

    @staticmethod
    def _drawn_items(hidden_PE: Tensor, table_VE: Tensor, bias_V: Tensor) -> Iterator[Tensor]:
        """Sample one of all items but padding for each target, some targets at a time."""
        for hidden_RE in torch.split(hidden_PE, ROWS_AT_A_TIME):
            yield _sampled(hidden_RE @ table_VE[1:].to(hidden_RE.dtype).T + bias_V[1:]) + 1


def _sampled(scores_RC: Tensor) -> Tensor:
    """Sample a column for each row by the softmax of its scores (the Gumbel-max trick), (R,)."""
    if not len(scores_RC):
        return scores_RC.new_zeros(0, dtype=torch.long)
    noise_RC = torch.empty_like(scores_RC, dtype=torch.float32).exponential_().log()
    return (scores_RC.float() - noise_RC).argmax(1)
