"""Encoders of the Hugging Face library, built from our sizes under each architecture's own names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from transformers4recsys.batch import moved
from transformers4recsys.errors import InputError, in_one_line
from transformers4recsys.model.encoders.causality import is_causal
from transformers4recsys.model.encoders.library import transformers
from transformers4recsys.model.encoders.packing import Packing, pack
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded

# What each setting is called in the library's configurations.
OWN_NAMES: dict[str, tuple[str, ...]] = {
    "d_model": ("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"),
    "d_inner": ("intermediate_size", "d_inner", "feed_forward_size", "ffn_dim", "hidden_dim"),
    "d_head": ("head_dim", "d_head", "attention_head_size"),
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "n_head": ("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"),
    "max_length": ("max_position_embeddings", "n_positions"),
    "dropout": (
        *("dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout_prob", "attention_probs_dropout_prob"),
        *("hidden_dropout", "attention_dropout", "embedding_dropout", "mlp_dropout"),
        *("local_attention_probs_dropout_prob", "lsh_attention_probs_dropout_prob"),
    ),
    "hidden_act": ("hidden_act", "activation_function", "ff_activation", "hidden_activation", "activation"),
    "layer_norm_eps": ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps"),
    "initializer_range": ("initializer_range", "init_std", "axial_norm_std"),
    "attn_type": ("attn_type",),
}
# Positions begin behind the padding id in some architectures (RoBERTa), which takes up to two of them.
NUM_SPARE_POSITIONS = 2
# Weights whose zero means that the model does not know where an item stands.
POSITION_WEIGHTS = ("wpe.weight", "position_embeddings.weight", "embed_positions.weight", "rel_attn.r", "inv_freq")
AXIAL_POSITION_WEIGHTS = "position_embeddings.weights."

Call: TypeAlias = "Callable[[transformers.PreTrainedModel, Tensor, Packing], Tensor]"


def by_causal_mask(model: transformers.PreTrainedModel, rows_RSD: Tensor, packing: Packing) -> Tensor:
    """A mask for each pair of places, which the library's causal models take as it is."""
    return _masked(model, rows_RSD, packing, packing.sees_earlier())


def by_positions(model: transformers.PreTrainedModel, rows_RSD: Tensor, packing: Packing) -> Tensor:
    """Restarting positions: the library's causal models take them for a new sequence, after a look that waits."""
    return model(inputs_embeds=rows_RSD, position_ids=packing.position_ids()).last_hidden_state


def by_block_mask(model: transformers.PreTrainedModel, rows_RSD: Tensor, packing: Packing) -> Tensor:
    """A mask for each pair of places, which the library's bidirectional models take as it is."""
    return _masked(model, rows_RSD, packing, packing.same_session())


def _masked(model: transformers.PreTrainedModel, rows_RSD: Tensor, packing: Packing, may_see_R1SS: Tensor) -> Tensor:
    output = model(inputs_embeds=rows_RSD, attention_mask=may_see_R1SS, position_ids=packing.position_ids())
    return output.last_hidden_state


class HuggingFaceEncoder(nn.Module):
    """Runs a library model on our vectors; with `run_packed` several sessions share a row, without it each is padded.

    Both give the same hidden states to rounding. A causal model never reads the padding behind a
    session: it needs no mask and keeps the library's fastest attention.
    """

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        *,
        needs_mask: bool = True,
        run_packed: Call | None = None,
        has_attentions: bool = False,
        used_settings: frozenset[str] = frozenset(),
    ):
        super().__init__()
        self.model, self.needs_mask, self.run_packed = model, needs_mask, run_packed
        self.has_attentions, self.used_settings = has_attentions, used_settings

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        wants_attentions = self.has_attentions and not self.training
        # A graph for export has no loop over sessions, and one of XLNet's operations needs a mask of floats there.
        is_exporting = torch.compiler.is_exporting()
        if self.run_packed and not wants_attentions and not is_exporting:
            packing = pack(padding_mask_BL, device=inputs_BLD.device)
            rows_RSD = self.run_packed(self.model, packing.packed(inputs_BLD), packing)
            return Encoded(packing.unpacked(rows_RSD))
        mask_BL = None
        if self.needs_mask:
            dtype = inputs_BLD.dtype if is_exporting else torch.long
            mask_BL = moved(padding_mask_BL.to(dtype), inputs_BLD.device)
        output = self.model(inputs_embeds=inputs_BLD, attention_mask=mask_BL, output_attentions=wants_attentions)
        return Encoded(output.last_hidden_state, output.attentions if wants_attentions else None)


def library_encoder(
    architecture: str, **own: Callable[[EncoderSettings], Any]
) -> Callable[[EncoderSettings], HuggingFaceEncoder]:
    """Make an encoder of a library architecture; `own` are entries of its configuration that only it has."""

    def build(settings: EncoderSettings) -> HuggingFaceEncoder:
        entries = {name: value(settings) for name, value in own.items()}
        try:
            config, used = configuration(architecture, settings, entries)
        except InputError:
            raise
        except Exception as error:
            raise _no_encoder(architecture, f"it refuses these sizes ({in_one_line(error)})") from error
        return from_config(config, settings, used_settings=used)

    return build


def configuration(
    architecture: str, settings: EncoderSettings, entries: Mapping[str, Any]
) -> tuple[transformers.PretrainedConfig, frozenset[str]]:
    """Write our settings under an architecture's own names; also give the settings it has a name for."""
    _heads_share_the_width(settings)
    known = transformers.CONFIG_MAPPING[architecture]().to_dict()
    values = {
        "d_inner": 4 * settings.d_model,
        "d_head": settings.d_model // settings.n_head,
        **{name: getattr(settings, name) for name in OWN_NAMES if name not in ("d_inner", "d_head")},
        "max_length": settings.max_length + NUM_SPARE_POSITIONS,
    }
    ours = {theirs: values[name] for name, names in OWN_NAMES.items() for theirs in names if theirs in known}
    used = frozenset(name for name, names in OWN_NAMES.items() if known.keys() & set(names))
    # The token table is never read: two rows, for architectures that fix the padding id at 1.
    tokens = {name: None for name in known if name.endswith("_token_id")}
    tokens |= {"vocab_size": 2, "pad_token_id": 0, "use_cache": False}
    config = transformers.AutoConfig.for_model(  # pyright: ignore[reportUnknownMemberType]
        architecture, **{**ours, **tokens, **entries}
    )
    return config, used


def from_config(
    config: transformers.PretrainedConfig, settings: EncoderSettings, *, used_settings: frozenset[str] = frozenset()
) -> HuggingFaceEncoder:
    """Build an architecture with fresh weights; InputError where it cannot serve as a sequence encoder."""
    implementation = {"attn_implementation": "eager"} if settings.has_attentions else {}
    try:
        model = transformers.AutoModel.from_config(config, **implementation)  # pyright: ignore
        return around(cast("transformers.PreTrainedModel", model), settings, used_settings)
    except InputError:
        raise
    except Exception as error:
        raise _no_encoder(config.model_type, in_one_line(error)) from error


def around(
    model: transformers.PreTrainedModel, settings: EncoderSettings, used_settings: frozenset[str] = frozenset()
) -> HuggingFaceEncoder:
    """Wrap a library model after trying on a small input what it can do."""
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise _no_encoder(model.config.model_type, "it does not take vectors (inputs_embeds)")
    if not settings.has_positions and forget_positions(model):
        used_settings |= {"disable_positional_embeddings"}
    model.get_input_embeddings().requires_grad_(False)
    shape = (1, settings.max_length, settings.d_model)
    _freeze_unreached(model, shape)
    has_attentions = settings.has_attentions and _gives_attentions(model, shape)
    if has_attentions:
        used_settings |= {"log_attention_weights"}
    needs_mask = not is_causal(HuggingFaceEncoder(model, needs_mask=False), shape)
    encoder = HuggingFaceEncoder(
        model,
        needs_mask=needs_mask,
        run_packed=detect_packing(model, shape, needs_mask=needs_mask),
        has_attentions=has_attentions,
        used_settings=used_settings,
    )
    return encoder.train()


def forget_positions(model: transformers.PreTrainedModel) -> bool:
    """Zero and freeze all that tells positions apart; False if nothing was found."""
    found = False
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(POSITION_WEIGHTS) or AXIAL_POSITION_WEIGHTS in name:
                tensor.zero_().requires_grad_(False)
                found = True
    return found


def detect_packing(
    model: transformers.PreTrainedModel, shape_1LD: tuple[int, int, int], *, needs_mask: bool
) -> Call | None:
    """Find out by trying whether sessions can share a row without seeing each other, and how."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return None
    padded = HuggingFaceEncoder(model, needs_mask=needs_mask)
    for call in (by_block_mask,) if needs_mask else (by_causal_mask, by_positions):
        try:
            if keeps_sessions_apart(HuggingFaceEncoder(model, run_packed=call), padded, shape_1LD):
                return call
        except (TypeError, ValueError, RuntimeError, IndexError):
            continue
    return None


def keeps_sessions_apart(
    packed: HuggingFaceEncoder, padded: HuggingFaceEncoder, shape_1LD: tuple[int, int, int]
) -> bool:
    """Try two sessions in one row: neither may change a bit of the other, and both must be as they are when padded."""
    _, length, d_model = shape_1LD
    shorter = max(length // 3, 1)
    padding_mask_BL = torch.arange(length) < torch.tensor([[shorter + 1], [shorter]])
    assert pack(padding_mask_BL).num_rows == 1, "two thirds of the longest session fit in a row"
    inputs_BLD = (
        torch.randn(2, length, d_model, generator=torch.Generator().manual_seed(0)) * padding_mask_BL[..., None]
    )
    packed.eval()
    padded.eval()
    with torch.no_grad():
        expected_BLD, hidden_BLD = (
            padded(inputs_BLD, padding_mask_BL).hidden,
            packed(inputs_BLD, padding_mask_BL).hidden,
        )
        for changed in (0, 1):
            others_BLD = inputs_BLD.clone()
            others_BLD[changed] = -inputs_BLD[changed].roll(1, dims=-1)
            again_BLD = packed(others_BLD, padding_mask_BL).hidden
            if not torch.equal(again_BLD[1 - changed], hidden_BLD[1 - changed]):
                return False
    return torch.allclose(hidden_BLD[padding_mask_BL], expected_BLD[padding_mask_BL], atol=1e-4)


def _freeze_unreached(model: transformers.PreTrainedModel, shape_1LD: tuple[int, int, int]) -> None:
    """Freeze what the hidden states do not depend on (token table, pooler): DDP would wait for its gradient."""
    inputs_1LD = torch.randn(shape_1LD, generator=torch.Generator().manual_seed(0))
    hidden_1LD = model.eval()(inputs_embeds=inputs_1LD).last_hidden_state
    if hidden_1LD.shape != shape_1LD:
        raise _no_encoder(
            model.config.model_type, f"vectors of {shape_1LD[1:]} become those of {tuple(hidden_1LD.shape[1:])}"
        )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(hidden_1LD.square().sum(), weights, allow_unused=True)
    for weight, gradient in zip(weights, cast("tuple[Tensor | None, ...]", gradients), strict=True):
        weight.requires_grad_(gradient is not None)


def _gives_attentions(model: transformers.PreTrainedModel, shape_1LD: tuple[int, int, int]) -> bool:
    with torch.no_grad():
        output = model.eval()(inputs_embeds=torch.zeros(shape_1LD), output_attentions=True)
    return bool(getattr(output, "attentions", None))


def _heads_share_the_width(settings: EncoderSettings) -> None:
    if settings.d_model % settings.n_head:
        raise InputError(
            f"`d_model` {settings.d_model} must be a multiple of `n_head` {settings.n_head}: "
            "each head takes an equal share of the width"
        )


def _no_encoder(architecture: str, reason: str) -> InputError:
    return InputError(f"`model_type` {architecture} cannot read sessions of vectors here: {reason}; choose another")
