"""Files of a run speak of all its days; a checkpoint inside a day holds as much as the folder of a run."""

import json
import shutil

import pytest

from transformers4recsys.run_folder import RunFolder
from transformers4recsys.training.run_writer import RunWriter, best_of, inside_checkpoints


def test_the_best_day_of_each_number_is_known():
    days = [
        {"day": "a", "num_steps": 5, "eval_ndcg@20": 0.1, "eval_recall@20": 0.5},
        {"day": "b", "num_steps": 3, "eval_ndcg@20": 0.3, "eval_recall@20": 0.4},
        {"day": "c", "num_steps": 2, "eval_ndcg@20": None},
        {"day": "d", "num_steps": 1, "eval_ndcg@20": 0.3},
    ]
    assert best_of(days) == {
        "eval_ndcg@20": {"value": 0.3, "day": "b", "num_steps": 8},
        "eval_recall@20": {"value": 0.5, "day": "a", "num_steps": 5},
    }
    assert best_of([]) == {}


def test_progress_and_trainer_state_speak_of_all_days(run_train):
    flags = {"logging_steps": 1, "dataloader_drop_last": True}
    run_train("parts", end_date="2019-10-03", **flags)
    folder = run_train("parts", end_date="2019-10-04", resume_from_checkpoint="true", **flags)
    progress = RunFolder.open(folder).progress
    steps = [day["num_steps"] for day in progress.days]
    assert [day["day"][:10] for day in progress.days] == ["2019-10-01", "2019-10-02", "2019-10-03"]
    assert progress.last_day == "2019-10-03T00:00:00" and progress.num_steps == sum(steps) and min(steps) > 0
    state = json.loads((folder / "trainer_state.json").read_text())
    losses = [entry for entry in state["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in losses] == list(range(1, sum(steps) + 1))
    assert [entry["day"][:10] for entry in losses] == [
        day["day"][:10] for day in progress.days for _ in range(day["num_steps"])
    ]
    assert state["global_step"] == sum(steps)
    best = max(day["eval_ndcg@20"] for day in progress.days)
    assert state["best_metric"] == best == progress.best["eval_ndcg@20"]["value"]


@pytest.mark.parametrize(("limit", "kept"), [(None, [4]), (2, [3, 4])])
def test_checkpoints_inside_a_day_are_whole_runs_and_go_with_the_day(limit, kept, run_train, monkeypatch):
    seen = []
    save_day = RunWriter.save_day

    def look_and_save(self, *arguments, **options):
        seen.append([RunFolder.open(path) for path in sorted((self.folder / "checkpoints").iterdir())])
        save_day(self, *arguments, **options)

    monkeypatch.setattr(RunWriter, "save_day", look_and_save)
    folder = run_train(save_steps=1, save_total_limit=limit)
    assert [[int(run.path.name[-8:]) for run in runs] for runs in seen] == [kept, kept]
    assert [run.path.name[:10] for run in seen[1]] == ["2019-10-02"] * len(kept)
    assert seen[1][-1].progress.last_day == "2019-10-01T00:00:00"
    assert seen[1][-1].settings == RunFolder.open(folder).settings
    assert not (folder / "checkpoints").exists()


def test_a_checkpoint_whose_removal_was_stopped_is_none_any_more(run_train, monkeypatch):
    remove = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path, **how: "step" in str(path) or remove(path, **how))
    seen, save_day = [], RunWriter.save_day

    def look_and_save(self, *arguments, **options):
        folders = sorted(path.name[-8:] for path in (self.folder / "checkpoints").iterdir())
        seen.append((folders, [path.name[-8:] for path in inside_checkpoints(self.folder)]))
        save_day(self, *arguments, **options)

    monkeypatch.setattr(RunWriter, "save_day", look_and_save)
    run_train(save_steps=1, end_date="2019-10-02")
    (folders, checkpoints) = seen[0]
    assert len(folders) > 1
    assert checkpoints == folders[-1:]
