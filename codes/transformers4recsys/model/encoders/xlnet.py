"""XLNet, with one stream, or with two for the permuted task."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from transformers4recsys.batch import moved
from transformers4recsys.model.encoders.huggingface import HuggingFaceEncoder, library_encoder
from transformers4recsys.model.encoders.library import transformers
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded

_one_stream = library_encoder("xlnet", mem_len=lambda _: None, use_mems_eval=lambda _: False)


class TwoStreamXLNet(nn.Module):
    """Predicts each target from its place, from what is no target, and from the targets before it in an order.

    The query stream (Yang 2019, section 2.3) never sees the item that it predicts. Without an order nothing is hidden.
    """

    def __init__(self, model: transformers.XLNetModel, used_settings: frozenset[str]):
        super().__init__()
        self.model, self.used_settings = model, used_settings
        # What the query stream begins with; one stream alone does not reach it.
        self.model.mask_emb.requires_grad_(True)

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor, order_BL: Tensor | None = None) -> Encoded:
        num_rows, length = padding_mask_BL.shape
        order_BL = torch.zeros_like(padding_mask_BL, dtype=torch.long) if order_BL is None else order_BL
        padding_mask_BL, order_BL = moved(padding_mask_BL, inputs_BLD.device), moved(order_BL, inputs_BLD.device)
        # From a row's position to a column's: hidden is a target that does not come before it.
        is_hidden_BLL = (order_BL[:, None, :] > 0) & (order_BL[:, :, None] <= order_BL[:, None, :])
        every_position_BLL = torch.eye(length, dtype=inputs_BLD.dtype, device=inputs_BLD.device)
        output = self.model(
            inputs_embeds=inputs_BLD,
            attention_mask=padding_mask_BL.to(inputs_BLD.dtype),
            perm_mask=is_hidden_BLL.to(inputs_BLD.dtype),
            target_mapping=every_position_BLL.expand(num_rows, length, length),
        )
        return Encoded(output.last_hidden_state)


def xlnet(settings: EncoderSettings) -> HuggingFaceEncoder | TwoStreamXLNet:
    """Build XLNet; in the permuted task it reads in both directions."""
    if not settings.is_permuted:
        return _one_stream(settings)
    whole = _one_stream(replace(settings, attn_type="bi", has_attentions=False))
    assert isinstance(whole.model, transformers.XLNetModel)
    return TwoStreamXLNet(whole.model, whole.used_settings)
