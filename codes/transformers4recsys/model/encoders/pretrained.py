"""Library encoders by their own configuration or with saved weights, from a folder or the model hub."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from transformers4recsys.errors import InputError, in_one_line
from transformers4recsys.model.encoders.huggingface import HuggingFaceEncoder, around, from_config
from transformers4recsys.model.encoders.library import transformers
from transformers4recsys.model.encoders.settings import EncoderSettings

# Heads and poolers may be missing: they are not used.
MOST_MISSING = 0.2


def own_width(name: str, cache_dir: str | None) -> int:
    """Give the width of the vectors that an architecture reads in its own configuration."""
    config = _configuration(name, cache_dir)
    width = getattr(config, "hidden_size", None) or getattr(config, "d_model", None)
    if not width:
        raise InputError(f"{name}: its configuration names no width (hidden_size); choose another")
    return int(width)


def from_own_configuration(name: str, cache_dir: str | None, settings: EncoderSettings) -> HuggingFaceEncoder:
    """Build an architecture with fresh weights from its own configuration; only the token table is cut short."""
    config = _configuration(name, cache_dir)
    config.vocab_size, config.pad_token_id, config.bos_token_id, config.eos_token_id = 2, 0, None, None
    config.use_cache = False
    _has_room(config, settings, name)
    return from_config(config, settings)


def around_saved_weights(name: str, cache_dir: str | None, settings: EncoderSettings) -> HuggingFaceEncoder:
    """Start an encoder from weights that were trained on something else, such as text."""
    config = _configuration(name, cache_dir)
    config.use_cache = False
    _has_room(config, settings, name)
    implementation = {"attn_implementation": "eager"} if settings.has_attentions else {}
    try:
        # Weights in pickles are not read: they may run any program.
        loaded = transformers.AutoModel.from_pretrained(  # pyright: ignore
            name,
            config=config,
            cache_dir=cache_dir,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **implementation,
        )
        model, found = cast("tuple[transformers.PreTrainedModel, dict[str, set[str]]]", loaded)
        _require_weights(model, found["missing_keys"])
    except Exception as error:
        raise InputError(f"`model_name_or_path` {name}: no weights to start from: {in_one_line(error)}") from error
    return around(model, settings)


def _require_weights(model: transformers.PreTrainedModel, missing: Collection[str]) -> None:
    """Raise ValueError where a file gave too few weights, which the library would draw anew in silence."""
    num_weights = len(model.state_dict())
    if len(missing) > MOST_MISSING * num_weights:
        raise ValueError(f"its file has {num_weights - len(missing)} of the {num_weights} weights of this architecture")


def _configuration(name: str, cache_dir: str | None) -> transformers.PretrainedConfig:
    try:
        config = transformers.AutoConfig.from_pretrained(  # pyright: ignore
            name, cache_dir=cache_dir, trust_remote_code=False
        )
        return cast("transformers.PretrainedConfig", config)
    except Exception as error:
        raise InputError(
            f"{name}: no configuration of the transformers library there ({in_one_line(error)}); give the "
            "folder of one, a name on the model hub, or as `model_name_or_path` the `output_dir` of a finished run"
        ) from error


def _has_room(config: transformers.PretrainedConfig, settings: EncoderSettings, name: str) -> None:
    positions = getattr(config, "max_position_embeddings", None) or settings.max_length
    if 0 < positions < settings.max_length:
        raise InputError(
            f"{name} has {positions} positions, sessions up to {settings.max_length}: lower `session_seq_length_max`"
        )
