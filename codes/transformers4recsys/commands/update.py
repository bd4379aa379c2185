"""Brings a run up to date with a new day of the raw log: read, checked, evaluated, trained on, and put in place."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from transformers4recsys.commands import train
from transformers4recsys.day_format import FEATURES_FILE, MANIFEST_FILE, SPLITS, TRAIN, file_name
from transformers4recsys.errors import InputError
from transformers4recsys.next_model import (
    DAYS,
    RUN,
    WORKING,
    link,
    link_run,
    put_in_place,
    roll_back,
    settle,
)
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.reporting.console import summary
from transformers4recsys.reporting.output_folder import claimed
from transformers4recsys.reporting.reporter import RESULT_TABLE, SINKS
from transformers4recsys.reporting.result_files import read_days
from transformers4recsys.run_files import publish, read_manifest
from transformers4recsys.run_folder import CONFIG, COPIED, DAYS_OF_RUN, VOCABULARY, RunFolder, as_json
from transformers4recsys.settings import check, from_values, if_changed, part, required, setting
from transformers4recsys.terminal import show_result
from transformers4recsys.training.inside_day import SAME_AGAIN

log = logging.getLogger(__name__)
# Beside the day files: the feature config of the run, with the sizes of today.
FEATURES_OF_RUN = "features_of_run.yaml"
# Settings of the recipe that may be others from call to call.
OF_CALL = [name for name, what in if_changed(Recipe).items() if what == "ignore"]
TYPES = get_type_hints(Recipe)
CallSettings: Any = make_dataclass(
    "CallSettings",
    [
        (each.name, TYPES[each.name], field(default=each.default, metadata=each.metadata))
        for each in fields(Recipe)
        if each.name in OF_CALL
    ],
    namespace={"__doc__": "How the input is read, and what is let pass, where today is unlike the days before"},
    frozen=True,
)


@dataclass(frozen=True)
class UpdateSettings:
    """Update: a run folder, and what has been clicked since"""

    run: str | None = setting(None, "output folder of a run whose days preprocess made")
    input: tuple[str, ...] | None = setting(
        None, "raw events of the new day, or days, as the run's recipe reads them: files, patterns or folders"
    )
    keep: int = setting(1, "earlier models that stay in the run, for --model DAY of other commands", at_least=0)
    rollback: str | None = setting(None, "in place of `input`: day of the earlier model to go back to")
    data_path: str | None = setting(
        None, "folder of the earlier day files, where they are not where the run was trained with them"
    )
    item_vectors: str | None = setting(
        None, "parquet file with vectors of new items, in place of the one that the run was trained with"
    )
    of_call: Any = part(CallSettings)
    database: DatabaseChoice = part(DatabaseChoice)

    def __post_init__(self) -> None:
        check(self)


SETTINGS = UpdateSettings


def run(values: Mapping[str, Any]) -> None:
    """Update a run, or take it back, with settings by name; where anything fails, all is as it was."""
    settings = from_values(UpdateSettings, values)
    required(settings, "run")
    if bool(settings.input) == bool(settings.rollback):
        raise InputError("give either `input`, the raw events of a new day, or `rollback`, the day of an earlier model")
    if settings.item_vectors and settings.rollback:
        raise InputError("`item_vectors` says nothing to a `rollback`; leave it out")
    if settings.item_vectors and not Path(settings.item_vectors).expanduser().is_file():
        raise InputError(f"`item_vectors` {settings.item_vectors} is not a file")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("`update` runs in one process; several can train a new day with `preprocess` and `train`")
    folder = Path(settings.run or "").expanduser()
    read_manifest(folder)
    with claimed(folder) as output:
        output.go_on()
        settle(folder)
        of_run = RunFolder.open(folder)
        try:
            if settings.rollback:
                roll_back(of_run, settings.rollback)
                log.info("%s has the model of %s again", folder, settings.rollback)
                return
            _update(of_run, settings, {name: values[name] for name in OF_CALL if name in values})
        except BaseException:
            shutil.rmtree(folder / WORKING, ignore_errors=True)
            raise


def _update(of_run: RunFolder, settings: UpdateSettings, of_call: Mapping[str, Any]) -> None:
    folder = of_run.path
    given, recipe = _given(of_run), _recipe(of_run, of_call)
    if settings.item_vectors:
        if "item_vectors" not in given:
            raise InputError(f"`item_vectors`: {folder} was trained without; leave it out, or train anew")
        given["item_vectors"] = settings.item_vectors
    working = folder / WORKING
    days = working / DAYS
    recorded = settings.data_path or given.get("data_path") or ""
    _lay_out_days(of_run, days, [folder / DAYS_OF_RUN, Path(recorded).expanduser()])
    before = _days_in(days)
    preprocess(LogSettings(settings.input, str(days)), recipe, settings.database)
    known = _days_in(days)
    to_train = [day for day in known if day > of_run.day_name]
    if not to_train:
        log.info("nothing to do: %s has been trained on %s, its last day", folder, of_run.day_name)
        shutil.rmtree(working)
        return
    _require_files(days, [day for day in before if day >= of_run.day_name], recorded)
    link_run(of_run, working / RUN)
    _write_features(of_run, days)
    _train(given, working, days=_days_to_read(known, to_train[0], given), name=folder.resolve().name)
    _record_places(working / RUN, folder, start_date=given.get("start_date"))
    put_in_place(of_run, settings.keep)
    show_result(summary(read_days(folder).of_split("eval"), folder.resolve()))
    log.info("%s has the model of %s", folder, to_train[-1])


def _given(of_run: RunFolder) -> dict[str, Any]:
    """Give the settings that the run was trained with, as flags name them."""
    given = of_run.settings.get("given")
    if given is None:
        raise InputError(
            f"{of_run.path} was trained by an older version, which did not keep its flags; go on once with `train` and "
            "`resume_from_checkpoint`"
        )
    return dict(given)


def _recipe(of_run: RunFolder, of_call: Mapping[str, Any]) -> Recipe:
    if of_run.recipe is None:
        raise InputError(
            f"{of_run.path} was trained on day files that `preprocess` did not make, so how raw events become sessions "
            "is not known; add the files of the new day yourself, and go on with `train` and `resume_from_checkpoint`"
        )
    recipe = read_recipe(flags={**of_run.recipe, **of_call})
    if recipe.is_split:
        raise InputError(
            f"{of_run.path} was trained on `split` {recipe.split}, which has no days to go on with; train anew"
        )
    return recipe


def _lay_out_days(of_run: RunFolder, place: Path, folders: Sequence[Path]) -> None:
    """Make the output of `preprocess` as the run knows it; of its day files, those that are in one of the folders."""
    snapshot = of_run.snapshot
    for name in [*snapshot.names_in(VOCABULARY), *(name for name in COPIED if name in snapshot)]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(snapshot.read(name))
    names = [file_name(day, split) for day in _days_in(place) for split in SPLITS]
    for name in names:
        found = [folder / name for folder in folders if (folder / name).exists()]
        if found:
            link(found[0], place / name)


def _days_in(days: Path) -> list[str]:
    return sorted(json.loads((days / MANIFEST_FILE).read_text(encoding="utf-8"))["days"])


def _require_files(days: Path, needed: Sequence[str], data_path: str) -> None:
    missing = [name for day in needed if not (days / (name := file_name(day, TRAIN))).exists()]
    if missing:
        raise InputError(
            f"the day files {', '.join(missing)}, which the run goes on from, are not in {data_path or 'any folder'}; "
            "give the folder that has them as `data_path` (later updates need it no more)"
        )


def _days_to_read(known: Sequence[str], first: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """Give the first and the last day to read: back to the one that was trained on last, and to the window's first."""
    back = max(int(given.get("training_time_window_size", 1)) - 1, 1)
    start = known[max(known.index(first) - back, 0)]
    return max(start, min(str(given.get("start_date", start)), first)), known[-1]


def _write_features(of_run: RunFolder, days: Path) -> None:
    """Write the feature config of the run with the numbers of ids that there are now."""
    entries = {name: dict(entry) for name, entry in of_run.settings["features"].items()}
    path = days / FEATURES_FILE
    now = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, entry in entries.items():
        if "cardinality" in entry:
            entry["cardinality"] = max(entry["cardinality"], now.get(name, {}).get("cardinality", 0))
    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    (days / FEATURES_OF_RUN).write_text(text, encoding="utf-8")


def _train(given: Mapping[str, Any], working: Path, *, days: tuple[str, str], name: str) -> None:
    values = {
        "run_name": name,
        **given,
        "data_path": str(working / DAYS),
        "feature_config": str(working / DAYS / FEATURES_OF_RUN),
        "output_dir": str(working / RUN),
        "start_date": days[0],
        "end_date": days[1],
        "missing_days": "skip",
        "train_on_last_day": True,
        "do_train": True,
        "do_eval": True,
        "overwrite_output_dir": False,
        "resume_from_checkpoint": "true",
    }
    # What is shown at the end is of the run, where it will be.
    sinks = {name: make for name, make in SINKS.items() if name != RESULT_TABLE}
    train.train(from_values(train.TrainSettings, values), sinks, after_a_stop=SAME_AGAIN)


def _record_places(trained: Path, folder: Path, *, start_date: str | None) -> None:
    """Let the settings of the run name the places that its files will have, and its first day."""
    days = (folder / DAYS_OF_RUN).resolve()
    places = {
        "output_dir": str(folder),
        "data_path": str(days),
        "feature_config": str(days / FEATURES_OF_RUN),
        "start_date": start_date,
    }
    sections = json.loads((trained / CONFIG).read_bytes())
    for section in sections.values():
        section |= {name: place for name, place in places.items() if name in section}
    publish(trained, {CONFIG: as_json(sections)})
