"""Which flags were set and say nothing in the chosen set-up, and why."""

from __future__ import annotations

from collections.abc import Callable

from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments, changed
from transformers4recsys.model.objectives.losses import NEGATIVE_COLUMN_LOSSES, PAIRWISE_LOSSES
from transformers4recsys.model.objectives.objectives import SAMPLED_OBJECTIVES

# Flags that say nothing in some set-ups: why, and whether this is one of them; set, they are named once and ignored.
WITHOUT_EFFECT: dict[str, tuple[str, Callable[[DataArguments, ModelArguments], bool]]] = {
    "summary_type": ("every position predicts for itself, nothing is summed up", lambda data, model: True),
    "mlm_probability": ("--mlm is off", lambda data, model: not model.mlm),
    "similarity_type": ("no loss on negative columns is chosen", lambda data, model: not _on_negatives(model)),
    "margin_loss": ("no hinge loss on negative columns is chosen", lambda data, model: not _has_margin(model)),
    "neg_rescale_factor": ("no loss on negative columns is chosen", lambda data, model: not _on_negatives(model)),
    "negative_sampling": ("--loss_type is not pairwise", lambda data, model: model.loss_type not in PAIRWISE_LOSSES),
    "neg_sampling_store_size": ("no negatives are drawn", lambda data, model: not _draws(model)),
    "neg_sampling_extra_samples_per_batch": (
        "--loss_type is not pairwise",
        lambda data, model: model.loss_type not in PAIRWISE_LOSSES,
    ),
    "neg_sampling_alpha": ("no negatives are drawn", lambda data, model: not _draws(model)),
    "num_sampled_negatives": (
        f"--loss_type is none of {', '.join(SAMPLED_OBJECTIVES)}",
        lambda data, model: model.loss_type not in SAMPLED_OBJECTIVES,
    ),
    "gbce_t": ("--loss_type is not gbce", lambda data, model: model.loss_type != "gbce"),
    "bpr_max_reg_lambda": (
        "--loss_type has no regularisation",
        lambda data, model: model.loss_type not in ("bpr_max_reg", "top1_max_reg"),
    ),
    "cache_dir": ("nothing is downloaded", lambda data, model: not (model.config_name or model.model_name_or_path)),
    "nvt_part_mem_fraction": (
        "--data_loader_engine is not nvtabular",
        lambda data, model: data.data_loader_engine != "nvtabular",
    ),
    "workers_count": ("nvtabular reads by itself", lambda data, model: data.data_loader_engine == "nvtabular"),
    "petastorm_reader_pool_type": (
        "--data_loader_engine is not petastorm",
        lambda data, model: data.data_loader_engine != "petastorm",
    ),
    "lr_scheduler_type": ("--learning_rate_schedule decides", lambda data, model: True),
    "eval_accumulation_steps": ("ranks are counted batch by batch, nothing piles up", lambda data, model: True),
    "warmup_steps": ("--learning_rate_warmup_steps decides", lambda data, model: True),
}


def without_effect(data: DataArguments, model: ModelArguments, training: TrainingArguments) -> list[str]:
    """Name the flags that were set and say nothing in this set-up, and why."""
    every = {**changed(data), **changed(model), **changed(training)}
    reasons = {name: reason for name, (reason, is_idle) in WITHOUT_EFFECT.items() if is_idle(data, model)}
    return [f"--{name} has no effect here: {reasons[name]}" for name in every if name in reasons]


def _on_negatives(model: ModelArguments) -> bool:
    return model.loss_type in NEGATIVE_COLUMN_LOSSES and model.neg_rescale_factor != 0


def _has_margin(model: ModelArguments) -> bool:
    return _on_negatives(model) and model.loss_type.startswith("margin_hinge")


def _draws(model: ModelArguments) -> bool:
    return model.loss_type in (*PAIRWISE_LOSSES, *SAMPLED_OBJECTIVES)
