"""Library encoders by their own configuration or with saved weights, from a folder or the model hub."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, PretrainedConfig

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.huggingface import HuggingFaceEncoder, around, from_config
from transformers4recsys.model.encoders.settings import EncoderSettings


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
        model = AutoModel.from_pretrained(name, config=config, cache_dir=cache_dir, **implementation)
    except (OSError, ValueError) as error:
        raise InputError(f"`model_name_or_path` {name}: no weights to start from: {error}") from error
    return around(model, settings)


def _configuration(name: str, cache_dir: str | None) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(name, cache_dir=cache_dir)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: no configuration of the transformers library there ({str(error).splitlines()[0]}); give the "
            "folder of one, a name on the model hub, or as `model_name_or_path` the `output_dir` of a finished run"
        ) from error


def _has_room(config: PretrainedConfig, settings: EncoderSettings, name: str) -> None:
    positions = getattr(config, "max_position_embeddings", None) or settings.max_length
    if 0 < positions < settings.max_length:
        raise InputError(
            f"{name} has {positions} positions, sessions up to {settings.max_length}: lower `session_seq_length_max`"
        )
