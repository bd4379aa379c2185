"""Encoders of the Hugging Face library, built from our sizes under each architecture's own names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model, PreTrainedModel

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class HuggingFaceEncoder(nn.Module):
    """Runs a library model on our vectors.

    A causal model never looks to the right, where the padding is, so it needs no mask
    (`needs_mask=False`) and keeps the library's fastest attention.
    """

    def __init__(self, model: PreTrainedModel, *, needs_mask: bool, has_attentions: bool):
        super().__init__()
        # The library's token table is never read; frozen, no optimizer or DDP waits for its gradient.
        model.get_input_embeddings().requires_grad_(False)
        self.model, self.needs_mask, self.has_attentions = model, needs_mask, has_attentions

    def forward(self, inputs_BLD: Tensor, is_real_BL: Tensor) -> Encoded:
        mask_BL = is_real_BL.long() if self.needs_mask else None
        wants_attentions = self.has_attentions and not self.training
        output = self.model(inputs_embeds=inputs_BLD, attention_mask=mask_BL, output_attentions=wants_attentions)
        return Encoded(output.last_hidden_state, output.attentions if wants_attentions else None)


def gpt2(settings: EncoderSettings) -> HuggingFaceEncoder:
    """GPT-2 (Radford 2019): a causal Transformer with learned positions."""
    if settings.d_model % settings.n_head:
        raise InputError(
            f"--d_model {settings.d_model} must be a multiple of --n_head {settings.n_head}: "
            "each head takes an equal share of the width"
        )
    config = GPT2Config(
        vocab_size=1,
        bos_token_id=None,
        eos_token_id=None,
        n_positions=settings.max_length,
        n_embd=settings.d_model,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        activation_function=settings.hidden_act,
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
        layer_norm_epsilon=settings.layer_norm_eps,
        initializer_range=settings.initializer_range,
        use_cache=False,
    )
    config._attn_implementation = "eager" if settings.has_attentions else "sdpa"
    model = GPT2Model(config)
    if not settings.has_positions:
        with torch.no_grad():
            model.wpe.weight.zero_()
        model.wpe.requires_grad_(False)
    return HuggingFaceEncoder(model, needs_mask=False, has_attentions=settings.has_attentions)
