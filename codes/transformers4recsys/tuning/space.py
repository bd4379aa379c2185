"""What a search may vary: by name of the setting, a range or a list of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.model.encoders import encoder_of
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.models import is_baseline

if TYPE_CHECKING:
    from optuna import Trial

KEYS = {"low", "high", "step", "log"}


class Dimension(Protocol):
    """The values that one setting may have."""

    def suggest(self, trial: Trial, name: str) -> Any:
        """Draw a value for a trial."""
        ...

    def __contains__(self, value: object) -> bool: ...


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_categorical(name, list(self.values))

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both inclusive, whole ones if both ends are; by steps, or evenly on a log scale."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    def suggest(self, trial: Trial, name: str) -> Any:
        if self.is_whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        # Steps add up to .30000000000000004.
        return round(value, 10) if self.step else value

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


Space = Mapping[str, Dimension]

# Of the Transformers4Rec paper (RecSys'21, appendix C, table 2): what it searched for every architecture.
PAPER: Space = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "weight_decay": Range(1e-6, 1e-3, log=True),
    "per_device_train_batch_size": Range(128, 512, step=64),
    "d_model": Range(64, 448, step=64),
    "item_embedding_dim": Range(64, 448, step=64),
    "n_layer": Range(1, 4),
    "n_head": Choice((1, 2, 4, 8, 16)),
    "dropout": Range(0.0, 0.5, step=0.1),
    "input_dropout": Range(0.0, 0.5, step=0.1),
    "label_smoothing_factor": Range(0.0, 0.9, step=0.1),
    "item_id_embeddings_init_std": Range(0.01, 0.15, step=0.02),
}
# Of masked models beside these (table 2, XLNet-MLM).
OF_MASKED: Space = {"mlm_probability": Range(0.1, 0.7, step=0.1)}


def default_space(model: ModelSettings) -> Space:
    """Give the paper's space, without what has no effect on this model.

    That is the width of item tables where these are as wide as the encoder anyway, smoothing of labels where the loss
    takes none, and layers or heads where the encoder has none. Raise InputError for a baseline, which has none of it.
    """
    if is_baseline(model):
        raise InputError(
            f"`model_type` {model.choice.model_type} is a baseline, which has none of the settings of the default "
            "space: give a file of those that may vary as `space`"
        )
    space = {**PAPER, **(OF_MASKED if model.targets.task == "masked" else {})}
    if model.scorer.constrained_embeddings:
        del space["item_embedding_dim"]
    if not OBJECTIVES[model.loss.loss_type].takes_label_smoothing:
        del space["label_smoothing_factor"]
    if not model.choice.library_model:
        encoder = encoder_of(model.choice.model_type)(EncoderSettings(16, n_layer=1))
        for name in {"n_layer", "n_head"} - encoder.used_settings:
            del space[name]
    return space


def space_of(entries: Mapping[str, Any], known: list[str], path: Path) -> Space:
    """Read a space: a list of values, or low, high and, if wanted, step or log, by name of the setting."""
    space: dict[str, Dimension] = {}
    for name, entry in entries.items():
        if name not in known:
            raise InputError(f"{path}: {name!r} is not a setting of train")
        space[name] = _dimension(entry, f"{path}, {name}")
    if not space:
        raise InputError(f"{path} names no setting; give what may vary, such as `learning_rate: {{low: 0.001, ...}}`")
    return space


def _dimension(entry: Any, where: str) -> Dimension:
    if isinstance(entry, list) and entry:
        return Choice(tuple(entry))
    if isinstance(entry, Mapping) and {"low", "high"} <= set(entry) <= KEYS:
        numbers = {name: _number(entry[name], f"{where}, {name}") for name in ("low", "high", "step") if name in entry}
        is_log = entry.get("log") is True
        if numbers["low"] >= numbers["high"]:
            raise InputError(f"{where}: low {numbers['low']} is not below high {numbers['high']}")
        if is_log and ("step" in numbers or numbers["low"] <= 0):
            raise InputError(f"{where}: log needs a low end above 0, and no step")
        if numbers.get("step", 1) <= 0:
            raise InputError(f"{where}: step {numbers['step']} is not above 0")
        return Range(**numbers, log=is_log)
    raise InputError(f"{where}: found {entry!r}; give a list of values, or low and high and, if wanted, step or log")


def _number(value: Any, where: str) -> int | float:
    try:
        # YAML reads 1e-3 as text.
        return value if type(value) in (int, float) else float(str(value))
    except ValueError:
        raise InputError(f"{where}: {value!r} is not a number") from None
