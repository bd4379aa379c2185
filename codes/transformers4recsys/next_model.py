"""The next model of a run: made beside it, put in its place in one step, and the models before it kept by day."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from transformers4recsys.errors import InputError
from transformers4recsys.reporting.result_files import RESULT_FILES
from transformers4recsys.run_files import MANIFEST, finish, publish, read_manifest, sync_folder
from transformers4recsys.run_folder import DAYS_OF_RUN, MODELS, UPDATES, RunFolder, model_folder, models_of

# What is WORKING is thrown away after a kill; what is WRITTEN counts, and is put in its places.
WORKING, WRITTEN = f"{UPDATES}/working", f"{UPDATES}/written"
# Inside of both: the run as it will be, the day files, the model that is replaced, and older ones, under their days.
RUN, DAYS, REPLACED, DROPPED = "run", "days", "replaced", "dropped"
# How many earlier models stay, and the day of the last of them; without this file, all stay.
KEEP = "keep"


def link_run(run: RunFolder, place: Path) -> None:
    """Lay the files of a run out a second time; results are copied, as they are written to in place."""
    place.mkdir(parents=True)
    for name in [*read_manifest(run.path), MANIFEST]:
        link(run.path / name, place / name)
    for name in RESULT_FILES:
        if (run.path / name).is_file():
            shutil.copy2(run.path / name, place / name)


def link(source: Path, place: Path) -> None:
    """Give a file, or a folder of files, a second name; where the disk has no links, a copy."""
    if source.is_dir():
        for path in source.iterdir():
            link(path, place / path.name)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def put_in_place(run: RunFolder, keep: int | None = None) -> None:
    """Let what lies in WORKING be the run from here on; the model of `run` is kept under its day.

    Of the models before it, `keep` stay in all; those of later days go, whose course `roll_back` has left.
    """
    working, written = run.path / WORKING, run.path / WRITTEN
    if keep is not None:
        (working / KEEP).write_text(json.dumps([keep, run.day_name]), encoding="utf-8")
    link_run(run, working / REPLACED / run.day_name)
    os.replace(working, written)
    sync_folder(written.parent)
    settle(run.path)


def settle(folder: Path) -> None:
    """Do what a killed update has left to do, or remove what it has left; the same whenever it is called."""
    working, written = folder / WORKING, folder / WRITTEN
    shutil.rmtree(working, ignore_errors=True)
    if not written.exists():
        return
    finish(folder)
    own = read_manifest(written / RUN)
    contents = {name: partial(link, written / RUN / name) for name in own}
    publish(folder, contents, removed=[name for name in read_manifest(folder) if name not in own])
    for path in sorted((written / RUN).rglob("*")):
        name = path.relative_to(written / RUN)
        if path.is_file() and name.as_posix() not in (*own, MANIFEST):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, folder / name)
    _move(written / DAYS, folder / DAYS_OF_RUN)
    for path in (written / REPLACED).glob("*"):
        _move(path, folder / MODELS / path.name)
    if (written / KEEP).exists():
        number, last = json.loads((written / KEEP).read_text(encoding="utf-8"))
        for day in models_to_drop(models_of(folder), number, last=last):
            _move(folder / MODELS / day, written / DROPPED / day)
    # Half of it would be put in place again: it is removed under the other name.
    os.replace(written, working)
    shutil.rmtree(working)


def _move(source: Path, place: Path) -> None:
    if source.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        os.replace(source, place)


def models_to_drop(days: Sequence[str], number: int, *, last: str) -> list[str]:
    """Choose among the days of models all but a number of them up to the day `last`."""
    earlier = [day for day in days if day <= last]
    kept = earlier[len(earlier) - min(number, len(earlier)) :]
    return [day for day in days if day not in kept]


def roll_back(run: RunFolder, day: str) -> None:
    """Put the model of an earlier day in the place of the run's; raise InputError where it is not kept."""
    place = model_folder(run.path, day)
    if place == run.path:
        raise InputError(f"`rollback` {day}: this is the model that the run has")
    link_run(RunFolder.open(place), run.path / WORKING / RUN)
    put_in_place(run)
