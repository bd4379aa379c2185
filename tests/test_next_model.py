"""The next model of a run is put in place as a whole, whenever it is stopped."""

import shutil
from itertools import count

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.next_model import DAYS, RUN, WORKING, WRITTEN, link_run, models_to_drop, put_in_place, settle
from transformers4recsys.run_folder import DAYS_OF_RUN, MODELS, RunFolder

FILE_OPERATIONS = ("replace", "unlink", "rmdir", "mkdir", "fsync", "link")


def contents_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def runs(run_train):
    """A run, and the same one a day later."""
    return run_train("old"), run_train("new", end_date="2019-10-04")


def begin(runs, folder):
    """Lay out a copy of the first run, with the second one waiting in it."""
    shutil.copytree(runs[0], folder)
    link_run(RunFolder.open(runs[0]), folder / MODELS / "2019-09-30")
    before = contents_of(folder)
    link_run(RunFolder.open(runs[1]), folder / WORKING / RUN)
    (folder / WORKING / RUN / "pred_logs").mkdir()
    (folder / WORKING / RUN / "pred_logs" / "day.parquet").write_text("predictions")
    (folder / WORKING / DAYS).mkdir()
    (folder / WORKING / DAYS / "day.parquet").write_text("sessions")
    return before


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_file_leaves_the_model_before_or_the_next_one(step, runs, tmp_path, killed_after):
    old, new = (contents_of(run) for run in runs)
    outcomes = []
    for number in count(step=step):
        folder = tmp_path / "runs" / str(number)
        before = begin(runs, folder)
        was_killed = killed_after(
            number, FILE_OPERATIONS, lambda folder=folder: put_in_place(RunFolder.open(folder), 1)
        )
        read = RunFolder.open(folder).snapshot.read("model.safetensors")
        assert read in (old["model.safetensors"], new["model.safetensors"])
        settle(folder)
        found = contents_of(folder)
        if found != before:
            models = {name: found.pop(name) for name in [*found] if name.startswith(f"{MODELS}/2019-10-02/")}
            assert {name.removeprefix(f"{MODELS}/2019-10-02/") for name in models} == set(old)
            assert found.pop(f"{DAYS_OF_RUN}/day.parquet") == b"sessions"
            assert found.pop("pred_logs/day.parquet") == b"predictions"
            assert found == new, number
            assert RunFolder.open(folder, "2019-10-02").weights().keys() == RunFolder.open(folder).weights().keys()
        outcomes.append(found != before)
        assert not (folder / WORKING).exists() and not (folder / WRITTEN).exists()
        shutil.rmtree(folder)
        if not was_killed:
            break
    # From one operation on, the next model counts.
    assert outcomes == sorted(outcomes) and not outcomes[0] and outcomes.count(True) * step > 30


def test_the_last_models_stay_and_those_of_later_days_go():
    days = ["2019-09-29", "2019-09-30", "2019-10-01", "2019-10-03"]
    assert models_to_drop(days, 2, last="2019-10-01") == ["2019-09-29", "2019-10-03"]
    assert models_to_drop(days, 0, last="2019-10-01") == days
    assert models_to_drop(days, 9, last="2019-10-03") == []


def test_models_are_found_by_day(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    link_run(RunFolder.open(runs[0]), folder / MODELS / "2019-09-30")
    assert RunFolder.open(folder, "2019-10-02").path == folder
    assert RunFolder.open(folder, "2019-09-30").path == folder / MODELS / "2019-09-30"
    with pytest.raises(InputError, match="no model of '2019-09-29'; there are 2019-09-30, 2019-10-02"):
        RunFolder.open(folder, "2019-09-29")
