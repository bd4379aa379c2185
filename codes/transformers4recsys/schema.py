"""What the columns of the day files are: names, kinds and sizes, read from the feature config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import yaml

from transformers4recsys.day_format import HISTORY_PREFIX, NEGATIVES_PREFIX
from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, nearest, required, setting

DTYPES = ("categorical", "long", "float", "timestamp", "text")
KEYS = ("dtype", "cardinality", "emb_table", "is_label", "log_with_preds_as_metadata", "is_control")


@dataclass(frozen=True)
class Feature:
    """One column; a categorical one has ids below `cardinality` and an embedding table of the name `table`.

    `width` is that of the table in a model which was built once; 0 leaves the choice to the next one that is built.
    """

    name: str
    dtype: str
    cardinality: int = 0
    table: str = ""
    is_label: bool = False
    is_metadata: bool = False
    is_control: bool = False
    width: int = 0


@dataclass(frozen=True)
class Schema:
    """The columns to read: `features` of the current session, their pasts, their negatives."""

    features: tuple[Feature, ...]
    past: Mapping[str, Feature] = field(default_factory=dict[str, Feature])
    negatives: Mapping[str, Feature] = field(default_factory=dict[str, Feature])
    ignored: tuple[str, ...] = ()

    @property
    def item_id(self) -> Feature:
        return next(feature for feature in self.features if feature.is_label)

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """Columns the model reads; a timestamp or a text is metadata, never an input."""
        return tuple(f for f in self.features if not f.is_control and f.dtype not in ("timestamp", "text"))

    @property
    def categorical(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.dtype == "categorical")

    @property
    def numeric(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.inputs if f.dtype != "categorical")

    @property
    def metadata(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.features if f.is_metadata)

    @property
    def texts(self) -> tuple[Feature, ...]:
        return tuple(f for f in self.features if f.dtype == "text")

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Every column that is read, each once."""
        return (*self.features, *self.past.values(), *self.negatives.values())

    def past_of(self, feature: Feature) -> Feature | None:
        return self.past.get(feature.name)

    def negatives_of(self, feature: Feature) -> Feature | None:
        return self.negatives.get(feature.name)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        past_prefix: str | None = None,
        ignored_prefix: str = HISTORY_PREFIX,
        negative_prefix: str = NEGATIVES_PREFIX,
    ) -> Schema:
        """Read a YAML or JSON feature config.

        With `past_prefix` (session-aware), columns of that prefix are pasts; without it, those of
        `ignored_prefix` are left out and listed in `ignored`. Raise InputError on anything unusable.
        """
        path = Path(path).expanduser()
        try:
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"`feature_config` {path}: {error.strerror or error}; give a YAML or JSON file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"`feature_config` {path} is neither YAML nor JSON: {error}") from error
        return cls.from_entries(
            entries,
            where=str(path),
            past_prefix=past_prefix,
            ignored_prefix=ignored_prefix,
            negative_prefix=negative_prefix,
        )

    @classmethod
    def from_entries(
        cls,
        entries: Any,
        *,
        where: str = "feature config",
        past_prefix: str | None = None,
        ignored_prefix: str = HISTORY_PREFIX,
        negative_prefix: str = NEGATIVES_PREFIX,
    ) -> Schema:
        """Make the schema of a mapping from column name to its settings (one entry of the YAML each)."""
        by_name = _as_mapping(entries)
        if not by_name:
            raise InputError(f"{where}: expected one entry a column (name: {{dtype: ...}}), found {entries!r}")
        features: list[Feature] = []
        past: dict[str, Feature] = {}
        negatives: dict[str, Feature] = {}
        ignored: list[str] = []
        for name, settings in by_name.items():
            feature = _feature(str(name), settings, where)
            if past_prefix and feature.name.startswith(past_prefix):
                past[feature.name.removeprefix(past_prefix)] = feature
            elif not past_prefix and ignored_prefix and feature.name.startswith(ignored_prefix):
                ignored.append(feature.name)
            elif negative_prefix and feature.name.startswith(negative_prefix):
                negatives[feature.name.removeprefix(negative_prefix)] = feature
            else:
                features.append(feature)
        schema = cls(tuple(features), past, negatives, tuple(ignored))
        schema._check(where)
        return schema

    def without_texts(self) -> Schema:
        """Leave out the columns of text, which only predictions that are written down need."""
        return replace(self, features=tuple(f for f in self.features if f.dtype != "text"))

    def to_entries(self) -> dict[str, dict[str, Any]]:
        """Give back what `from_entries` read, without the ignored columns."""
        return {feature.name: _entry(feature) for feature in self.columns}

    def _check(self, where: str) -> None:
        labels = [feature.name for feature in self.features if feature.is_label]
        if len(labels) != 1:
            found = f"{len(labels)} have it: {', '.join(labels)}" if labels else "none has it"
            raise InputError(f"{where}: exactly one column, the item id, needs is_label: true; {found}")
        if self.item_id.dtype != "categorical" or self.item_id.is_control:
            raise InputError(f"{where}: the label {labels[0]} must have dtype categorical and no is_control")
        names = {feature.name for feature in self.features}
        for of_name in (*self.past, *self.negatives):
            if of_name not in names:
                raise InputError(
                    f"{where}: a past or negative column of {of_name!r} is given, but no column {of_name!r}"
                )
        sizes: dict[str, Feature] = {}
        for feature in self.columns:
            if not feature.table:
                continue
            first = sizes.setdefault(feature.table, feature)
            if first.cardinality != feature.cardinality:
                raise InputError(
                    f"{where}: {first.name} and {feature.name} share emb_table {feature.table!r} but have cardinality "
                    f"{first.cardinality} and {feature.cardinality}; give both the larger one"
                )


def _as_mapping(value: object) -> Mapping[Any, Any] | None:
    return cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else None


def _feature(name: str, entry: object, where: str) -> Feature:
    settings = _as_mapping(entry)
    if settings is None:
        raise InputError(f"{where}: column {name} needs settings such as {{dtype: float}}, found {entry!r}")
    for key in settings:
        if key not in KEYS:
            near = nearest(key, KEYS)
            hint = f"did you mean {near}? " if near else ""
            raise InputError(f"{where}: column {name} has an unknown key {key!r}; {hint}allowed: {', '.join(KEYS)}")
    dtype, cardinality = settings.get("dtype"), settings.get("cardinality")
    if dtype not in DTYPES:
        near = nearest(dtype, DTYPES)
        hint = f"did you mean {near}? " if near else ""
        raise InputError(f"{where}: column {name} has dtype {dtype!r}; {hint}allowed: {', '.join(DTYPES)}")
    if dtype == "categorical" and (type(cardinality) is not int or cardinality < 2):
        raise InputError(
            f"{where}: column {name} is categorical and needs cardinality: a whole number of at least 2 "
            f"(ids 0..cardinality-1, 0 = padding), found {cardinality!r}"
        )
    for key in ("is_label", "log_with_preds_as_metadata", "is_control"):
        if not isinstance(settings.get(key, False), bool):
            raise InputError(f"{where}: column {name}, {key}: expected true or false, found {settings[key]!r}")
    return Feature(
        name=name,
        dtype=dtype,
        cardinality=cardinality if type(cardinality) is int and dtype == "categorical" else 0,
        table=str(settings.get("emb_table", name)) if dtype == "categorical" else "",
        is_label=settings.get("is_label", False),
        is_metadata=settings.get("log_with_preds_as_metadata", False),
        is_control=settings.get("is_control", False),
    )


def _entry(feature: Feature) -> dict[str, Any]:
    entry: dict[str, Any] = {"dtype": feature.dtype}
    if feature.dtype == "categorical":
        entry |= {"cardinality": feature.cardinality, "emb_table": feature.table}
    flags = {
        "is_label": feature.is_label,
        "log_with_preds_as_metadata": feature.is_metadata,
        "is_control": feature.is_control,
    }
    return entry | {key: True for key, is_set in flags.items() if is_set}


@dataclass(frozen=True)
class SessionSettings:
    """Sessions: which columns they have, and how much of them is read"""

    feature_config: str | None = setting(None, "YAML or JSON that names the columns", if_changed="ignore")
    feature_prefix_neg_sample: str = setting(
        NEGATIVES_PREFIX, "prefix of columns that hold negative samples", if_changed="refuse"
    )
    session_seq_length_max: int = setting(
        20, "longest session; longer ones keep their most recent items", at_least=2, if_changed="refuse"
    )
    session_aware: bool = setting(
        False, "put the user's past sessions in front of the current one", if_changed="refuse"
    )
    session_aware_features_prefix: str = setting(
        HISTORY_PREFIX, "prefix of the columns that hold the past", if_changed="refuse"
    )
    session_aware_past_seq_length_max: int = setting(
        20, "longest past; longer ones keep their most recent items", at_least=1, if_changed="refuse"
    )
    pad_token: int = setting(0, "padding id; 0 is the only one")
    mask_token: int = setting(0, "id of a masked item; 0 is the only one")

    def __post_init__(self) -> None:
        check(self)
        for name in ("pad_token", "mask_token"):
            if getattr(self, name) != 0:
                raise InputError(f"`{name}` {getattr(self, name)}: item id 0 is padding everywhere; leave it out")

    @property
    def max_length(self) -> int:
        """The longest sequence that a model sees, past sessions included."""
        return self.session_seq_length_max + (self.session_aware_past_seq_length_max if self.session_aware else 0)

    def schema(self, *, has_texts: bool = True) -> Schema:
        """Read the feature config, with or without columns of text; InputError on anything unusable."""
        required(self, "feature_config")
        prefix = self.session_aware_features_prefix
        schema = Schema.from_file(
            self.feature_config or "",
            past_prefix=prefix if self.session_aware else None,
            ignored_prefix=prefix,
            negative_prefix=self.feature_prefix_neg_sample,
        )
        if self.session_aware and schema.past_of(schema.item_id) is None:
            raise InputError(
                f"`session_aware`: {self.feature_config} has no column {prefix}{schema.item_id.name} with the past "
                "items; choose a feature config that has it, or leave `session_aware` out"
            )
        return schema if has_texts else schema.without_texts()
