"""Where settings become a model: features, encoder, scores, targets and loss."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from transformers.training_args import OptimizerNames

from transformers4recsys import distributed
from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments, changed
from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import Encoder, encoder_of
from transformers4recsys.model.encoders.causality import is_causal
from transformers4recsys.model.encoders.pretrained import around_saved_weights, from_own_configuration, own_width
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import MERGES, FeatureEmbedder
from transformers4recsys.model.next_item import MANY_ITEMS, NextItemModel
from transformers4recsys.model.objectives.objectives import Objective, ObjectiveSettings, make_objective
from transformers4recsys.model.scoring import ACTIVATIONS, ItemScorer
from transformers4recsys.model.targets import TARGET_RULES, MaskedTargets, TargetRule
from transformers4recsys.schema import Schema
from transformers4recsys.training.checkpoint import PROGRESS, WEIGHTS, load_weights

Choice = TypeVar("Choice")
log = logging.getLogger(__name__)

# Flags of the encoder that have another name among its settings.
FLAG_OF_SETTING = {"has_positions": "disable_positional_embeddings", "has_attentions": "log_attention_weights"}
OF_ENCODER = (
    *("n_layer", "n_head", "dropout", "hidden_act", "layer_norm_eps", "initializer_range", "attn_type"),
    *("axial_pos_shape_first_dim", "attn_chunk_length", "num_chunks_before", "num_chunks_after"),
    *("chunk_size_feed_forward", "lsh_num_hashes", *FLAG_OF_SETTING),
)


def schema_of(data: DataArguments) -> Schema:
    """Read the feature config as the data flags ask for."""
    prefix = data.session_aware_features_prefix
    schema = Schema.from_file(
        data.feature_config or "",
        past_prefix=prefix if data.session_aware else None,
        ignored_prefix=prefix,
        negative_prefix=data.feature_prefix_neg_sample,
    )
    if data.session_aware and schema.past_of(schema.item_id) is None:
        raise InputError(
            f"--session_aware: {data.feature_config} has no column {prefix}{schema.item_id.name} with the past items; "
            "choose a feature config that has it, or leave --session_aware out"
        )
    return schema


def model_of(data: DataArguments, model: ModelArguments, training: TrainingArguments, schema: Schema) -> NextItemModel:
    """Build the model that the flags describe: fresh weights drawn from --seed, or those of --model_name_or_path."""
    torch.manual_seed(training.seed)
    d_model, make_encoder = _encoder_choice(model)
    is_tied = model.constrained_embeddings or model.mf_constrained_embeddings
    features = FeatureEmbedder(
        schema,
        d_model=d_model,
        merge=choose(MERGES, model.inp_merge, "--inp_merge"),
        item_width=d_model if model.constrained_embeddings else None,
        is_one_hot_item=model.use_ohe_item_ids_inputs,
        dropout=model.dropout,
        layer_norm_eps=model.layer_norm_eps,
        initializer_range=model.initializer_range,
    )
    settings = _encoder_settings(data, model, training, d_model)
    encoder = make_encoder(settings)
    if settings.is_causal:
        _require_causal(encoder, settings, encoder_name(model))
    item_table = features.item_table
    table_width = item_table.embedding_dim if is_tied else d_model
    scorer = ItemScorer(
        d_model,
        num_items=item_table.num_embeddings,
        table_width=table_width,
        activation=choose(ACTIVATIONS, model.tf_out_activation, "--tf_out_activation"),
        is_tied=is_tied,
        initializer_range=model.initializer_range,
    )
    built = NextItemModel(
        schema,
        features=features,
        encoder=encoder,
        scorer=scorer,
        objective=objective_of(model, training, schema, width=table_width),
        training_targets=target_rule(model, is_last_only=training.train_on_last_item_seq_only),
        evaluation_targets=target_rule(model, is_last_only=training.eval_on_last_item_seq_only or model.mlm),
    )
    if model.model_name_or_path and is_saved_run(model.model_name_or_path):
        load_weights(built, Path(model.model_name_or_path).expanduser())
    reasons = reasons_against_sparse_gradients(training, built)
    if model.sparse_item_updates:
        if built.objective.reads_all_items:
            reasons.insert(0, "--loss_type reads all items; choose sampled_softmax, gbce or a pairwise loss")
        if reasons:
            raise InputError(f"--sparse_item_updates: {reasons[0]}, or leave the flag out")
        built.make_gradients_sparse()
    elif len(built.item_table) > MANY_ITEMS:
        is_read_by_row_alone = not (is_tied and built.objective.reads_all_items)
        if is_read_by_row_alone and not reasons and training.device.type == "cpu":
            built.make_gradients_sparse()
        if not is_tied and not built.objective.reads_all_items and not reasons:
            log.info("--sparse_item_updates makes steps over %d items faster; see --help", len(built.item_table))
    return built


def reasons_against_sparse_gradients(training: TrainingArguments, model: NextItemModel) -> list[str]:
    """Say what needs whole gradients here."""
    reasons = {
        "several processes add up whole gradients": distributed.world_size() > 1,
        f"--optim {OptimizerNames(training.optim).value} is not AdamW": training.optim
        not in ("adamw_torch", "adamw_torch_fused"),
        "--max_grad_norm must be more than 0": not training.max_grad_norm,
        "--fp16 scales whole gradients; take --bf16": training.fp16,
        "--torch_compile does not know sparse gradients": training.torch_compile,
    }
    return [reason for reason, holds in reasons.items() if holds]


def objective_of(model: ModelArguments, training: TrainingArguments, schema: Schema, *, width: int) -> Objective:
    """Build the loss that the flags describe; `width` is that of the output weights."""
    return make_objective(
        model.loss_type,
        ObjectiveSettings(
            width=width,
            num_items=schema.item_id.cardinality,
            has_negative_column=schema.negatives_of(schema.item_id) is not None,
            label_smoothing=training.label_smoothing_factor,
            all_rescale_factor=model.all_rescale_factor,
            neg_rescale_factor=model.neg_rescale_factor,
            loss_scale_factor=model.loss_scale_factor,
            similarity_type=model.similarity_type,
            margin_loss=model.margin_loss,
            negative_sampling=model.negative_sampling,
            seed=training.seed,
            neg_sampling_store_size=model.neg_sampling_store_size,
            neg_sampling_extra_samples_per_batch=model.neg_sampling_extra_samples_per_batch,
            neg_sampling_alpha=model.neg_sampling_alpha,
            bpr_max_reg_lambda=model.bpr_max_reg_lambda,
            num_sampled_negatives=model.num_sampled_negatives,
            gbce_t=model.gbce_t,
        ),
    )


def target_rule(model: ModelArguments, *, is_last_only: bool) -> TargetRule:
    """Choose what is predicted: next items or masked ones, all or the last."""
    if model.mlm and not is_last_only:
        return MaskedTargets(model.mlm_probability)
    return TARGET_RULES[f"{'masked' if model.mlm else 'causal'}{'_last' if is_last_only else ''}"]()


def encoder_name(model: ModelArguments) -> str:
    """Say what the encoder is called in messages."""
    return _own_configuration(model) or model.model_type


def unused_encoder_flags(encoder: Encoder, model: ModelArguments, training: TrainingArguments) -> list[str]:
    """Name the encoder flags that were set and that this encoder has no use for."""
    given = {**changed(model), **changed(training)}
    idle = [FLAG_OF_SETTING.get(name, name) for name in OF_ENCODER if name not in encoder.used_settings]
    if _own_configuration(model):
        idle.append("d_model")
    # Dropout also falls on the input vectors, whatever the encoder is.
    return [name for name in idle if name in given and name not in ("dropout", "layer_norm_eps", "initializer_range")]


def is_saved_run(name: str) -> bool:
    """Say whether `name` is the output folder of a run, not a model of the library."""
    folder = Path(name).expanduser()
    return (folder / WEIGHTS).is_file() and (folder / PROGRESS).is_file()


def choose(table: Mapping[str, Choice], name: str, flag: str) -> Choice:
    """Look a choice up; InputError names what there is."""
    if name in table:
        return table[name]
    raise InputError(f"{flag} {name!r} is unknown; choose one of {', '.join(sorted(table))}")


def _own_configuration(model: ModelArguments) -> str | None:
    """Name the library model whose own configuration decides the sizes, if there is one."""
    saved = model.model_name_or_path
    return saved if saved and not is_saved_run(saved) else model.config_name


def _encoder_choice(model: ModelArguments) -> tuple[int, Callable[[EncoderSettings], Encoder]]:
    """Give the width of the encoder and what builds it."""
    name = _own_configuration(model)
    if name is None:
        return model.d_model, encoder_of(model.model_type)
    make = from_own_configuration if name == model.config_name else around_saved_weights
    return own_width(name, model.cache_dir), partial(make, name, model.cache_dir)


def _encoder_settings(
    data: DataArguments, model: ModelArguments, training: TrainingArguments, d_model: int
) -> EncoderSettings:
    past_length = data.session_aware_past_seq_length_max if data.session_aware else 0
    of_model = {name: getattr(model, name) for name in OF_ENCODER if name not in FLAG_OF_SETTING}
    return EncoderSettings(
        d_model=d_model,
        max_length=data.session_seq_length_max + past_length,
        has_positions=not model.disable_positional_embeddings,
        has_attentions=training.log_attention_weights,
        is_causal=not model.mlm,
        **of_model,
    )


def _require_causal(encoder: Encoder, settings: EncoderSettings, name: str) -> None:
    assert isinstance(encoder, torch.nn.Module)
    if not is_causal(encoder, (1, settings.max_length, settings.d_model)):
        raise InputError(
            f"{name} reads a session in both directions and would see the item that it is to predict: "
            "add --mlm to learn masked items, or choose an encoder that reads from left to right, such as gpt2 "
            "(xlnet does with --attn_type uni)"
        )
