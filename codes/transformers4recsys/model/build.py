"""A model from a schema and settings: features, encoder, scores, targets and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ContentSettings, ItemContent, ItemData, require_data
from transformers4recsys.model.encoders import OWN_SETTINGS, Encoder, EncoderChoice
from transformers4recsys.model.encoders.causality import is_causal
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder, FeatureSettings, table_width
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.objectives import OBJECTIVES, LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.popularity_shift import PopularityShift
from transformers4recsys.model.replaced_items import ReplacedItems
from transformers4recsys.model.scoring import ItemScorer, ScorerSettings
from transformers4recsys.model.targets import TargetSettings
from transformers4recsys.row_shards import RowShards
from transformers4recsys.schema import Schema
from transformers4recsys.settings import changed, part

# They also fall on the input vectors, whatever the encoder is.
USED_BY_FEATURES = ("dropout", "layer_norm_eps", "initializer_range")
# Kinds of losses whose scores are logarithms of probabilities, but for a number that all items share.
LEARNING_PROBABILITIES = ("catalogue", "sampled")
# Why it has no effect is said by the setting itself.
NEVER_USED = ("summary_type",)


@dataclass(frozen=True)
class ModelSettings:
    """Everything that a model is built from, but for its schema."""

    choice: EncoderChoice = part(EncoderChoice)
    encoder: EncoderSettings = part(EncoderSettings)
    features: FeatureSettings = part(FeatureSettings)
    content: ContentSettings = part(ContentSettings)
    scorer: ScorerSettings = part(ScorerSettings)
    targets: TargetSettings = part(TargetSettings)
    loss: LossSettings = part(LossSettings)

    def __post_init__(self) -> None:
        if self.scorer.constrained_embeddings and self.features.item_embedding_dim:
            raise InputError(
                "`constrained_embeddings` makes the item's table as wide as `d_model`: leave `item_embedding_dim` out, "
                "or choose `mf_constrained_embeddings`"
            )
        if self.targets.plm and (self.choice.library_model or self.choice.model_type != "xlnet"):
            raise InputError(f"`plm` needs `model_type` xlnet, and here is {self.choice.name}: only it has two streams")
        if self.scorer.popularity_shift and OBJECTIVES[self.loss.loss_type].kind not in LEARNING_PROBABILITIES:
            raise InputError(
                "`popularity_shift` corrects logarithms of probabilities, and what `loss_type` "
                f"{self.loss.loss_type} learns is none: leave it out, or choose cross_entropy, sampled_softmax or gbce"
            )
        is_last_only = self.targets.eval_on_last_item_seq_only or self.targets.task != "causal"
        if self.encoder.positions_from_end and not is_last_only:
            raise InputError(
                "`positions_from_end` tells positions inside a session how many items follow, which is not known when "
                "the next one is recommended: add `eval_on_last_item_seq_only`, so that metrics fall on last items"
            )


def build_model(
    schema: Schema,
    settings: ModelSettings,
    *,
    max_length: int,
    seed: int = 0,
    label_smoothing: float = 0.0,
    has_attentions: bool = False,
    item_data: ItemData | None = None,
    shards: RowShards | None = None,
) -> NextItemModel:
    """Build the model with fresh weights drawn from `seed`, or those of a library model.

    `max_length` is the longest sequence that it will see, past sessions included; `has_attentions`, whether it gives
    attention weights in evaluation; `item_data` what is known of the items, where the settings ask for their content;
    `shards`, which rows of item tables and bias this process holds, where it does not hold them all.
    """
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    require_data(settings.content, item_data)
    d_model, make_encoder = settings.choice.width_and_encoder(settings.encoder.d_model)
    of_task = {"is_causal": settings.targets.task == "causal", "is_permuted": settings.targets.plm}
    of_task |= {"max_length": max_length, "has_attentions": has_attentions}
    sizes = replace(settings.encoder, d_model=d_model, own=settings.choice.own, **of_task)
    features = _features_of(schema, settings, sizes, shards)
    encoder = make_encoder(sizes)
    if sizes.is_causal:
        _require_causal(encoder, sizes, settings.choice.name)
    output_width = features.item_table.embedding_dim if settings.scorer.is_tied else d_model
    scorer = ItemScorer(
        d_model,
        settings.scorer,
        num_items=schema.item_id.cardinality,
        table_width=output_width,
        initializer_range=settings.features.item_std(sizes.initializer_range),
        shards=shards,
    )
    if item_data:
        features.content = _content_of(item_data, settings, features, output_width, sizes.initializer_range)
    setup = LossSetup(
        width=output_width,
        num_items=schema.item_id.cardinality,
        has_negative_column=schema.negatives_of(schema.item_id) is not None,
        label_smoothing=label_smoothing,
        seed=seed,
        has_content=item_data is not None,
    )
    return NextItemModel(
        schema,
        features=features,
        encoder=encoder,
        scorer=scorer,
        objective=make_objective(settings.loss, setup),
        training_targets=settings.targets.training_rule(),
        evaluation_targets=settings.targets.evaluation_rule(),
        counts_from_end=sizes.positions_from_end,
        has_attentions=has_attentions,
        replaced_items=_replaced_items(settings.targets, make_encoder, sizes),
        popularity_shift=PopularityShift(schema.item_id.cardinality) if settings.scorer.popularity_shift else None,
    )


def _features_of(
    schema: Schema, settings: ModelSettings, sizes: EncoderSettings, shards: RowShards | None
) -> FeatureEmbedder:
    return FeatureEmbedder(
        schema,
        settings.features,
        d_model=sizes.d_model,
        item_width=sizes.d_model if settings.scorer.constrained_embeddings else None,
        dropout=sizes.dropout,
        layer_norm_eps=sizes.layer_norm_eps,
        initializer_range=sizes.initializer_range,
        shards=shards,
    )


def _content_of(
    data: ItemData, settings: ModelSettings, features: FeatureEmbedder, output_width: int, initializer_range: float
) -> ItemContent:
    tables = {of.name: features.table_of(of) for of in features.categorical if of.name in data.codes}
    own_widths = {name: table_width(int(data.codes[name].max()) + 1) for name in data.codes if name not in tables}
    return ItemContent(
        data,
        tables,
        own_widths,
        input_width=None if settings.scorer.is_tied else features.item_table.embedding_dim,
        output_width=output_width,
        is_frozen=settings.content.freeze_item_vectors,
        initializer_range=initializer_range,
    )


def _replaced_items(
    targets: TargetSettings, make_encoder: Callable[[EncoderSettings], Encoder], sizes: EncoderSettings
) -> ReplacedItems | None:
    if not targets.rtd:
        return None
    return ReplacedItems(sizes.d_model, targets, None if targets.rtd_tied_generator else make_encoder(sizes))


def unused_encoder_settings(encoder: Encoder, settings: ModelSettings, *, wants_attentions: bool) -> list[str]:
    """Name the settings of the encoder that were changed and that this encoder does not use."""
    given = {**changed(settings.encoder), **({"log_attention_weights": True} if wants_attentions else {})}
    for of in OWN_SETTINGS:
        given |= changed(settings.choice.own[of])
    has_own_width = settings.choice.library_model is not None
    used = {*encoder.used_settings, *USED_BY_FEATURES, *NEVER_USED, *([] if has_own_width else ["d_model"])}
    return [name for name in given if name not in used]


def _require_causal(encoder: Encoder, settings: EncoderSettings, name: str) -> None:
    assert isinstance(encoder, torch.nn.Module)
    if not is_causal(encoder, (1, settings.max_length, settings.d_model)):
        raise InputError(
            f"{name} reads a session in both directions and would see the item that it is to predict: "
            "add `mlm` to learn masked items, or choose an encoder that reads from left to right, such as gpt2 "
            "(xlnet does with `attn_type` uni)"
        )
