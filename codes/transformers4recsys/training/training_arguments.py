"""What each field of Hugging Face's TrainingArguments does here: one verdict each; and the arguments made of them."""

from __future__ import annotations

import copy
import dataclasses
import enum
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import transformers

from transformers4recsys import distributed
from transformers4recsys.errors import InputError, in_one_line
from transformers4recsys.settings import FALSE, TRUE, IfChanged, check, choose, converted, setting
from transformers4recsys.training.precision import bf16_note

WORKS, OTHER_MEANING, NO_EFFECT, REFUSED = "works", "another meaning here", "no effect here", "refused"


@dataclass(frozen=True)
class Verdict:
    """What a field does; `help` explains it in --help (the others are listed by name), `why` the last two kinds."""

    kind: str
    help: str = ""
    why: str = ""
    default: Any = None
    at_least: float | None = None
    below: float | None = None
    if_changed: IfChanged | None = None


def _works(
    help: str = "", default: Any = None, *, at_least: float | None = None, if_changed: IfChanged | None = None
) -> Verdict:
    return Verdict(WORKS, help, default=default, at_least=at_least, if_changed=if_changed)


def _other(
    help: str,
    default: Any = None,
    *,
    at_least: float | None = None,
    below: float | None = None,
    if_changed: IfChanged | None = None,
) -> Verdict:
    return Verdict(OTHER_MEANING, help, default=default, at_least=at_least, below=below, if_changed=if_changed)


def _no_effect(why: str, default: Any = None) -> Verdict:
    return Verdict(NO_EFFECT, why=why, default=default)


def _refused(why: str, default: Any = None) -> Verdict:
    return Verdict(REFUSED, why=why, default=default)


_NO_HUB = "models are not uploaded; the output folder holds all that is needed"
_OWN_SCHEDULE = "`learning_rate_schedule` and its warm-up decide"
_OWN_READERS = "the readers of day files do this: see `workers_count` and `data_loader_engine`"
_OWN_EVALUATION = "each day is evaluated on the next one, by this program's own loop"
_NO_RECOMPUTATION = "the models here are small; activations are not computed again"

VERDICTS: dict[str, Verdict] = {
    "output_dir": _works("where all results go", if_changed="ignore"),
    "do_train": _works("train on each day", False, if_changed="ignore"),
    "do_eval": _works("evaluate on each next day", False, if_changed="ignore"),
    "per_device_train_batch_size": _works("sessions a training step and process", 8, at_least=1),
    "per_device_eval_batch_size": _works("sessions an evaluation step and process", 8, at_least=1),
    "gradient_accumulation_steps": _works("batches whose gradients are added up for one step", 1, at_least=1),
    "num_train_epochs": _other("epochs on each day, not of the whole run", 3.0, at_least=0),
    "max_steps": _other("steps on each day, in place of epochs; -1 for none", -1),
    "learning_rate": _works("learning rate at its highest", 5e-5, at_least=0),
    "weight_decay": _works("weight decay of AdamW", 0.0),
    "max_grad_norm": _works("gradients are clipped to this norm; 0 for none", 1.0),
    "label_smoothing_factor": _other(
        "of losses over the catalogue: share spread over all items", 0.0, at_least=0, below=1
    ),
    "optim": _works("optimizer", "adamw_torch_fused"),
    "seed": _works("first weights, dropout, negatives and the order of rows follow from it", 42, if_changed="refuse"),
    "logging_steps": _works("steps between two logged losses", 500),
    "save_steps": _other(
        "steps between two checkpoints inside a day; 0 for none: the model is saved after each day", 500
    ),
    "resume_from_checkpoint": _other(
        "go on after the last day of the run in this folder; true: in output_dir", if_changed="ignore"
    ),
    "fp16": _other("half precision on CUDA GPUs; elsewhere fp32, which is said", False),
    "bf16": _works("bfloat16 mixed precision", False),
    "use_cpu": _works("leave GPUs alone", False),
    "dataloader_drop_last": _other("leave out the last, smaller training batch; evaluation reads all", False),
    "report_to": _other(
        "tensorboard, wandb, none; auto: TensorBoard, and W&B where it is installed and set up",
        "auto",
        if_changed="ignore",
    ),
    "run_name": _other(
        "name of the run in TensorBoard and W&B; without it, that of the output folder", if_changed="ignore"
    ),
    "fsdp": _other("full_shard: each process holds its share of the model"),
    "logging_nan_inf_filter": _other("leave NaN out of the logged mean loss; waits for a GPU", False),
    "local_rank": _works(default=-1, if_changed="ignore"),
    **dict.fromkeys(
        ("optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "tf32", "torch_compile", "torch_compile_backend"),
        _works(),
    ),
    **dict.fromkeys(
        ("torch_compile_mode", "torch_empty_cache_steps", "logging_strategy", "logging_first_step", "log_level"),
        _works(),
    ),
    **dict.fromkeys(
        ("log_level_replica", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        _works(),
    ),
    **dict.fromkeys(
        ("save_strategy", "save_total_limit", "save_only_model", "save_on_each_node", "full_determinism"), _works()
    ),
    **dict.fromkeys(
        ("accelerator_config", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"), _works()
    ),
    **dict.fromkeys(("ddp_static_graph", "ddp_backend", "ddp_timeout"), _works()),
    "log_on_each_node": _works(default=True),
    **dict.fromkeys(("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"), _no_effect(_OWN_SCHEDULE)),
    "eval_accumulation_steps": _no_effect("ranks are counted batch by batch, nothing piles up"),
    "eval_do_concat_batches": _no_effect("ranks are counted batch by batch, nothing piles up", True),
    **dict.fromkeys(
        ("eval_steps", "eval_delay", "eval_on_start", "eval_use_gather_object", "prediction_loss_only"),
        _no_effect(_OWN_EVALUATION),
    ),
    **dict.fromkeys(
        ("include_for_metrics", "batch_eval_metrics", "bf16_full_eval", "fp16_full_eval", "label_names"),
        _no_effect(_OWN_EVALUATION),
    ),
    **dict.fromkeys(
        ("dataloader_num_workers", "dataloader_persistent_workers", "dataloader_prefetch_factor"),
        _no_effect(_OWN_READERS),
    ),
    "dataloader_multiprocessing_context": _no_effect(_OWN_READERS),
    **dict.fromkeys(
        ("dataloader_pin_memory", "dataloader_in_order", "remove_unused_columns"), _no_effect(_OWN_READERS, True)
    ),
    **dict.fromkeys(
        ("train_sampling_strategy", "length_column_name", "data_seed", "ignore_data_skip"),
        _no_effect("the order of rows follows from `seed`, the day and `shuffle_buffer_size`"),
    ),
    "restore_callback_states_from_checkpoint": _no_effect("nothing that a run needs is kept in callbacks"),
    "disable_tqdm": _no_effect("progress bars are this program's own, and shown on terminals alone"),
    "use_cache": _no_effect("nothing is generated token by token"),
    "include_num_input_tokens_seen": _no_effect("sessions are counted, not tokens"),
    "average_tokens_across_devices": _no_effect("losses are means over all targets already", True),
    "skip_memory_metrics": _no_effect("`transformers4recsys benchmark` measures memory", True),
    "metric_for_best_model": _no_effect("see `best_metric`, with `early_stopping_patience`"),
    "greater_is_better": _no_effect("of every metric that is there, more is better"),
    **dict.fromkeys(
        ("hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision"),
        _no_effect(_NO_HUB),
    ),
    "push_to_hub": _refused(_NO_HUB),
    "eval_strategy": _refused(
        "each day is evaluated on the next one; for evaluations inside a day use `validate_every` N (epochs)", "no"
    ),
    "load_best_model_at_end": _refused("use `validate_every` with `early_stopping_patience`"),
    "debug": _refused("it looks into dense layers alone; a loss or a gradient that is not finite ends a run by itself"),
    "do_predict": _refused("use `do_eval` with `log_predictions`, which writes the predictions of each day"),
    "auto_find_batch_size": _refused(
        "a day would be trained half by one batch size; set `per_device_train_batch_size`"
    ),
    "deepspeed": _refused("use `fsdp` full_shard to share a model out among processes"),
    "fsdp_config": _refused("`fsdp` full_shard takes no further configuration"),
    "parallelism_config": _refused("processes share the rows (DistributedDataParallel) or the model (`fsdp`) alone"),
    **dict.fromkeys(
        (
            *("gradient_checkpointing", "gradient_checkpointing_kwargs"),
            *("activation_checkpointing", "activation_checkpointing_kwargs"),
        ),
        _refused(_NO_RECOMPUTATION),
    ),
    "neftune_noise_alpha": _refused("it is noise on word embeddings, and there are none; use `dropout`"),
    "optim_target_modules": _refused("it belongs to optimizers of large language models; choose another `optim`"),
    "use_liger_kernel": _refused("its kernels are those of large language models"),
    "liger_kernel_config": _refused("its kernels are those of large language models"),
    "enable_jit_checkpoint": _refused("use `save_steps` for checkpoints inside a day"),
}

# Names of earlier versions of the library and of the older program, and what to write now.
SUCCESSORS: dict[str, str] = {
    "evaluation_strategy": "use `validate_every` N (epochs) for evaluations inside a day",
    "do_predict_during_training": "use `log_predictions`",
    "evaluate_during_training": "use `validate_every` N (epochs)",
    "warmup_ratio": "use `learning_rate_warmup_steps`",
    "no_cuda": "use `use_cpu`",
    "use_mps_device": "leave it out: the device is found",
    "per_gpu_train_batch_size": "use `per_device_train_batch_size`",
    "per_gpu_eval_batch_size": "use `per_device_eval_batch_size`",
    "adafactor": "use `optim` adafactor",
    "group_by_length": "leave it out: sessions travel without padding",
    "logging_dir": "leave it out: TensorBoard writes to runs/",
    "save_safetensors": "leave it out: weights are always safetensors",
    "fp16_opt_level": "use `fp16`",
    "fp16_backend": "use `fp16`",
    "half_precision_backend": "use `fp16` or `bf16`",
    "sharded_ddp": "use `fsdp` full_shard",
    "fsdp_min_num_params": "use `fsdp` full_shard",
    "fsdp_transformer_layer_cls_to_wrap": "use `fsdp` full_shard",
    "torchdynamo": "use `torch_compile`",
    "jit_mode_eval": "use `torch_compile`",
    "use_ipex": "use `bf16`",
    "tpu_num_cores": "leave it out: TPUs are not supported",
    "tpu_metrics_debug": "leave it out: TPUs are not supported",
    "xpu_backend": "use `ddp_backend`",
    "past_index": "use `session_aware` for past sessions",
    "dispatch_batches": "leave it out: each process reads its own rows",
    "split_batches": "leave it out: each process reads its own rows",
    "include_inputs_for_metrics": "use `log_predictions`",
    "include_tokens_per_second": "use `transformers4recsys benchmark`",
    "push_to_hub_model_id": "leave it out: " + _NO_HUB,
    "push_to_hub_organization": "leave it out: " + _NO_HUB,
    "push_to_hub_token": "leave it out: " + _NO_HUB,
}


def _check_all(settings: Any) -> None:
    check(settings)
    for name, verdict in VERDICTS.items():
        value = getattr(settings, name)
        if verdict.kind == REFUSED and value not in (verdict.default, None, False, "false", "no"):
            raise InputError(f"`{name}` {value} is not supported: {verdict.why}")


HEADINGS = {
    WORKS: "Further ones, with the meaning and the default that they have in the library",
    NO_EFFECT: "Accepted, without effect here",
    REFUSED: "Not supported",
}

# The fields have no types here: values are converted by those of the library, when its arguments are made.
LibrarySettings: Any = dataclasses.make_dataclass(
    "LibrarySettings",
    [
        (
            name,
            Any,
            setting(
                verdict.default,
                verdict.help,
                used_if=(lambda settings: False) if verdict.kind == NO_EFFECT else None,
                unused_because=verdict.why,
                heading="" if verdict.help else HEADINGS[verdict.kind],
                if_changed=verdict.if_changed,
            ),
        )
        for name, verdict in VERDICTS.items()
    ],
    namespace={
        "__doc__": "Training: the settings of Hugging Face's TrainingArguments that most runs need",
        "__post_init__": _check_all,
        "former_names": SUCCESSORS,
    },
    frozen=True,
)


def library_arguments(settings: Any) -> tuple[transformers.TrainingArguments, list[str]]:
    """Make the library's arguments, and join the processes of the run; also say what was adjusted to this machine."""
    types_of_fields = typing.get_type_hints(transformers.TrainingArguments)
    given = {
        name: converted(name, getattr(settings, name), types_of_fields[name])
        for name, verdict in VERDICTS.items()
        if verdict.kind != NO_EFFECT and getattr(settings, name) is not None
    }
    # YAML's true and false, which are words here, stand beside the names of folders.
    asked = str(given.get("resume_from_checkpoint", "")).lower()
    if asked in TRUE + FALSE:
        given["resume_from_checkpoint"] = "true" if asked in TRUE else None
    _check_bounds(given)
    _check_choices(given, types_of_fields)
    notes: list[str] = []
    if given["save_steps"] == 0:
        given["save_strategy"] = "no"
    _require_plain_sharding(given, notes)
    if given["fp16"] and not torch.cuda.is_available():
        given["fp16"] = False
        other = "bf16" if given["bf16"] else "fp32 (`bf16` works on the CPU)"
        notes.append(f"`fp16` needs a CUDA GPU; none is here, so training is in {other}")
    # The library joins processes on CPUs only where it is told that there is nothing else.
    if not torch.accelerator.is_available() or given["bf16"] and not torch.cuda.is_available():
        given["use_cpu"] = True
    if given["bf16"] and given["use_cpu"] and (note := bf16_note()):
        notes.append(note)
    # The library would join them on its way here, and leave the timeout out on CPUs.
    timeout = timedelta(seconds=given.get("ddp_timeout", transformers.TrainingArguments.ddp_timeout))
    distributed.join(uses_cpu=given["use_cpu"], timeout=timeout, backend=given.get("ddp_backend"))
    try:
        return transformers.TrainingArguments(**given), notes
    except Exception as error:
        raise InputError(f"these settings do not go together here: {in_one_line(error)}") from error


def for_the_trainer(given: transformers.TrainingArguments) -> transformers.TrainingArguments:
    """Switch off in the library what this program does itself: loggers, label smoothing, sharding (on GPUs only)."""
    arguments = copy.copy(given)
    if given.fsdp:
        arguments.fsdp = arguments.fsdp_plugin_args = None
        # Gradients of micro-batches are summed up in parts too.
        arguments.accelerator_config = copy.copy(given.accelerator_config)
        arguments.accelerator_config.gradient_accumulation_kwargs = {"sync_each_batch": True}  # pyright: ignore
    arguments.report_to, arguments.label_smoothing_factor = [], 0.0
    # Encoders freeze what gets no gradient; a search for it would make Reformer's nested backward passes fail.
    arguments.ddp_find_unused_parameters = bool(given.ddp_find_unused_parameters)
    return arguments


def _check_bounds(given: Mapping[str, Any]) -> None:
    for name, verdict in VERDICTS.items():
        least, limit = verdict.at_least, verdict.below
        if least is not None and not given[name] >= least or limit is not None and not given[name] < limit:
            allowed = f"at least {least:g}" + (f" and below {limit:g}" if limit is not None else "")
            raise InputError(f"`{name}` {given[name]}: must be {allowed}")


def _check_choices(given: Mapping[str, Any], types_of_fields: Mapping[str, Any]) -> None:
    for name, value in given.items():
        for kind in typing.get_args(types_of_fields[name]):
            if isinstance(kind, type) and issubclass(kind, enum.Enum):
                choose({str(each.value): each for each in kind}, str(getattr(value, "value", value)), name)


def _require_plain_sharding(given: dict[str, Any], notes: list[str]) -> None:
    if not given.get("fsdp"):
        return
    if str(given["fsdp"]).lower() not in ("true", "full_shard"):
        raise InputError(f"`fsdp` {given['fsdp']}: give full_shard, the one kind that is here")
    given["fsdp"] = True
    for name in ("fp16", "torch_compile"):
        if given.get(name):
            raise InputError(f"`fsdp` does not go with `{name}` here; leave one of them out")
    if given.get("save_strategy") != "no":
        given["save_strategy"] = "no"
        notes.append("`fsdp` saves at the end of each day alone, not each `save_steps` inside it")
