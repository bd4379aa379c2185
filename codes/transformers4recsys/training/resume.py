"""What a run goes on from, what of its settings may be others now, and what may not."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ItemContent
from transformers4recsys.model.growth import ITEM_COUNTS, GrowthSettings, groups_of, nearest_groups
from transformers4recsys.models import AnyModel
from transformers4recsys.run_files import MANIFEST, Content
from transformers4recsys.run_folder import (
    CONFIG,
    COPIED,
    ITEMS,
    SCHEMA,
    VOCABULARY,
    Progress,
    RunFolder,
    as_json,
    copied_contents,
    schema_as_json,
)
from transformers4recsys.schema import Feature, Schema
from transformers4recsys.settings import IfChanged
from transformers4recsys.tensor_file import TensorFile
from transformers4recsys.training import checkpoint, sharding
from transformers4recsys.training.checkpoint import TrainingState
from transformers4recsys.training.run_writer import TRAINER_STATE, RunWriter, inside_checkpoints
from transformers4recsys.training.trainer import RecSysTrainer

log = logging.getLogger(__name__)
# The value of a setting in a run of a version that had none of this name.
NO_SETTING = "not there yet"


@dataclass(frozen=True)
class Resumed:
    """A run to go on with: its folder as it was opened, and the state of its training."""

    run: RunFolder
    state: TrainingState

    @property
    def inside_day(self) -> str | None:
        return self.state.position.day if self.state.position else None

    @property
    def log_history(self) -> list[dict[str, Any]]:
        """What was logged on the whole days so far, with the steps of the run."""
        return [entry for entry in self._whole_history() if entry["day"] != self.inside_day]

    @property
    def log_history_of_day(self) -> list[dict[str, Any]]:
        """What was logged on the day that is not finished, with steps of the day."""
        first = self.run.progress.num_steps
        return [
            {name: value for name, value in entry.items() if name != "day"} | {"step": entry["step"] - first}
            for entry in self._whole_history()
            if entry["day"] == self.inside_day
        ]

    def _whole_history(self) -> list[dict[str, Any]]:
        return json.loads(self.run.snapshot.read(TRAINER_STATE))["log_history"]

    def copied_contents(self) -> dict[str, Content]:
        """Collect what the run has from `preprocess`."""
        snapshot = self.run.snapshot
        names = [*snapshot.names_in(VOCABULARY), *(name for name in COPIED if name in snapshot)]
        return {name: snapshot.read(name) for name in names}


def find(folder: Path) -> Resumed:
    """Open what is newest in the folder of a run: its last finished day, or a checkpoint inside the day after it."""
    inside = inside_checkpoints(folder)
    if inside and not (folder / MANIFEST).exists():
        return _opened(inside[-1])
    finished = _opened(folder)
    if inside:
        newest = _opened(inside[-1])
        if (newest.inside_day or "") > finished.run.progress.last_day:
            return newest
    return finished


def goes_on_in_place(asked: str | None, output_dir: Path) -> bool:
    """Say whether a run is to go on in its own folder; `asked` is true or a folder, or a checkpoint in it."""
    if not asked:
        return False
    folder = Path(asked).expanduser().resolve()
    return asked.lower() == "true" or output_dir.resolve() in (folder, *folder.parents)


def open_resumed(
    asked: str | None,
    output_dir: Path,
    *,
    settings: Mapping[str, Any],
    if_changed: Mapping[str, IfChanged | None],
    schema: Schema,
    data_path: str,
    days_to_train: Sequence[datetime],
) -> Resumed | None:
    """Open the run to go on from, if one is asked for, and compare it with what is asked of it now.

    `settings` are in sections; `if_changed` says of each what becomes of another value. Raise InputError where a run
    cannot go on; nothing is written. Without days to train, all settings may be others.
    """
    if not asked:
        return None
    resumed = find(output_dir if asked.lower() == "true" else Path(asked).expanduser())
    if days_to_train:
        changed = require_same(resumed.run, settings, if_changed, schema)
        require_same_ids(resumed.run, copied_contents(data_path))
        if changed:
            log.warning("going on with other settings than before: %s", "; ".join(changed))
    inside = resumed.inside_day
    if days_to_train and inside and inside not in [day.isoformat() for day in days_to_train]:
        raise InputError(
            f"`resume_from_checkpoint` {resumed.run.path} stands inside the day {inside}, which is not to be trained "
            "on; choose `start_date` and `end_date` so that it and the day after it are"
        )
    return resumed


def load(trainer: RecSysTrainer, resumed: Resumed, growth: GrowthSettings, *, data_path: str) -> None:
    """Put weights and the state of the optimizer into a trainer; tables grow where the vocabulary has grown."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    load_grown(model, resumed.run, growth, data_path=data_path)
    for name, baseline in trainer.beside.items():
        file = checkpoint.of_baseline(name)
        if file not in resumed.run.snapshot:
            raise InputError(f"`baselines` {name}: {resumed.run.path} was run without it so far; leave it out")
        baseline.load_state_dict(resumed.run.tensors(file))
    if model.has_gradients and not checkpoint.load_optimizer(trainer, resumed.state):
        log.warning("`optim` is another one than before: its state starts anew")


def load_grown(model: AnyModel, run: RunFolder, growth: GrowthSettings, *, data_path: str) -> None:
    """Put the weights of a run into a model; tables grow where the vocabulary has grown, as `growth` says."""
    if model.has_gradients is False:
        model.load_state_dict(run.weights())
        return
    before, num_items = run.schema.item_id.cardinality, model.schema.item_id.cardinality
    groups: list[Tensor] = []
    weights = run.weights()
    if num_items > before:
        log.info("%d new item ids begin by `new_items` %s", num_items - before, growth.new_items)
        if growth.new_items == "features":
            groups = _groups(model.features.content, num_items, weights, data_path)
    checkpoint.load_weights(model, weights, where=run.path, policy=growth.new_items, groups=groups)


def _groups(content: ItemContent | None, num_items: int, weights: TensorFile, data_path: str) -> list[Tensor]:
    """Say which items share what the item table says of them, or have similar vectors."""
    items, groups = copied_contents(data_path).get(ITEMS), list[Tensor]()
    if isinstance(items, bytes):
        groups += groups_of(pq.read_table(pa.BufferReader(items)), num_items)
    if content is not None and content.vectors is not None:
        groups += nearest_groups(sharding.full(content.vectors.weight.detach()).cpu(), weights[ITEM_COUNTS] > 0)
    if not groups:
        log.warning("`new_items` features needs the %s of `preprocess`; the mean of all items is taken", ITEMS)
    return groups


def start_from(
    model: AnyModel,
    run: RunFolder,
    growth: GrowthSettings,
    *,
    settings: Mapping[str, Any],
    if_changed: Mapping[str, IfChanged | None],
    data_path: str,
) -> None:
    """Put the weights of another run into a model; InputError says what differs where they do not fit.

    Where they fit, but were trained as another model, a warning says so.
    """
    require_same_ids(run, copied_contents(data_path))
    of_model = {section: settings[section] for section in ("data", "model", "given")}
    others = _refused(run, of_model, if_changed, model.schema)
    try:
        load_grown(model, run, growth, data_path=data_path)
    except InputError as error:
        if not others:
            raise
        lines = "".join(f"\n  {line}" for line in others)
        raise InputError(
            f"`model_name_or_path` {run.path}: its weights do not fit other values of these:{lines}\n"
            f"Give the earlier values, leave out a setting that was {NO_SETTING}, or train anew without "
            "`model_name_or_path`"
        ) from error
    if others:
        log.warning("`model_name_or_path` was trained with other values of these: %s", "; ".join(others))


def writer_of(
    output_dir: Path,
    *,
    settings: Mapping[str, Any],
    schema: Schema,
    data_path: str,
    resumed: Resumed | None = None,
    num_checkpoints: int | None = None,
) -> RunWriter:
    """Make what saves a run, with all of its contents that stay the same from day to day."""
    copied = (resumed.copied_contents() if resumed else {}) | copied_contents(data_path)
    return RunWriter(
        output_dir,
        {CONFIG: as_json(settings), SCHEMA: as_json(schema_as_json(schema)), **copied},
        resumed.run.progress if resumed else Progress("", 0),
        log_history=resumed.log_history if resumed else [],
        num_checkpoints=num_checkpoints or 1,
    )


def _opened(folder: Path) -> Resumed:
    run = RunFolder.open(folder)
    for name in (checkpoint.TENSORS, checkpoint.STATE, TRAINER_STATE):
        if name not in run.snapshot:
            raise InputError(f"{folder} has no {name}: it can be used, but not be trained on")
    text = run.snapshot.read(checkpoint.STATE)
    return Resumed(run, checkpoint.read_state(run.tensors(checkpoint.TENSORS), text, where=folder))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Describe, as `old -> new`, each setting with a new value; both mappings are in sections or flat.

    A setting that an earlier version did not have has a new value where it is `given`, that is, not at its default.
    """
    old, new = _flat(before), _flat(json.loads(json.dumps(now, default=str)))
    given = now.get("given", {})
    return {
        name: f"{json.dumps(old[name]) if name in old else NO_SETTING} -> {json.dumps(value)}"
        for name, value in new.items()
        if (old[name] != value if name in old else name in given)
    }


def require_same(
    run: RunFolder, settings: Mapping[str, Any], if_changed: Mapping[str, IfChanged | None], schema: Schema
) -> list[str]:
    """List the settings that have changed, `name old -> new` each; raise InputError if one may not."""
    found = changes(run.settings, settings)
    changed = {name: change for name, change in found.items() if if_changed.get(name) != "ignore"}
    refused = _refused(run, settings, if_changed, schema)
    if refused:
        lines = "".join(f"\n  {line}" for line in refused)
        raise InputError(
            f"`resume_from_checkpoint` {run.path}: a run cannot go on with other values of these:{lines}\n"
            f"Give the earlier values, leave out a setting that was {NO_SETTING}, or start another run in an "
            "`output_dir` of its own"
        )
    return [f"{name} {change}" for name, change in changed.items()]


def require_same_ids(run: RunFolder, contents: Mapping[str, Content]) -> None:
    """Raise InputError if a raw value of the run has another id in the vocabularies of today."""
    for name, before in run.vocabularies.items():
        content = contents.get(f"{VOCABULARY}/{name}.parquet")
        if not isinstance(content, bytes):
            continue
        now = pq.read_table(pa.BufferReader(content), columns=["raw", "id"]).sort_by("id")
        known = before.select(["raw", "id"]).sort_by("id")
        if not now.slice(0, known.num_rows).equals(known.cast(now.schema)):
            raise InputError(
                f"`data_path`: the ids of column {name} are not those that {run.path} was trained with; "
                "add new days to the same output of `preprocess`, or train anew"
            )


def _refused(
    run: RunFolder, settings: Mapping[str, Any], if_changed: Mapping[str, IfChanged | None], schema: Schema
) -> list[str]:
    """List what a run cannot go on with, `name: old -> new` each: settings and columns that make it another model."""
    found = changes(run.settings, settings)
    refused = [f"{name}: {change}" for name, change in found.items() if if_changed.get(name) == "refuse"]
    return refused + _schema_changes(run.schema, schema)


def _schema_changes(before: Schema, now: Schema) -> list[str]:
    before, now = before.without_texts(), now.without_texts()
    sizes = {feature.name: feature.cardinality for feature in before.columns}
    # A vocabulary may grow; ids never move, as require_same_ids() checks.
    now_as_before = [
        replace(feature, cardinality=min(feature.cardinality, sizes.get(feature.name, feature.cardinality)))
        for feature in now.columns
    ]
    old = {feature.name: _what_counts(feature) for feature in before.columns}
    new = {feature.name: _what_counts(feature) for feature in now_as_before}
    names = dict.fromkeys([*old, *new])
    return [
        f"column {name}: {old.get(name, 'not there')} -> {new.get(name, 'not there')}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _what_counts(feature: Feature) -> str:
    other = ("name", "is_metadata", "width")
    values = {name: value for name, value in asdict(feature).items() if name not in other and value}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        # Columns are compared as a schema; what was given is among the other sections.
        if name in ("features", "given"):
            continue
        flat |= _flat(value) if isinstance(value, Mapping) and value else {name: value}
    return flat
