"""A run that was killed or stopped inside a day goes on with the same bits."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from transformers4recsys.training.inside_day import Position, StoppableReader, StopRequest, move_schedule
from transformers4recsys.training.run_writer import RunWriter

KILLS = Path(__file__).with_name("kills.py")
CODES = Path(__file__).parents[2] / "codes"
SMALL = {
    "do_train": True,
    "do_eval": True,
    "start_date": "2019-10-01",
    "end_date": "2019-10-03",
    "model_type": "gpt2",
    "d_model": 16,
    "n_layer": 1,
    "n_head": 2,
    "dropout": 0.2,
    "learning_rate": 0.01,
    "learning_rate_schedule": "linear_with_warmup",
    "num_train_epochs": 2,
    "shuffle_buffer_size": 100,
    "per_device_eval_batch_size": 16,
    "save_steps": 2,
    "report_to": "none",
    "use_cpu": True,
    "workers_count": 0,
}
# Negatives drawn ahead, masks drawn at random, and micro-batches; the best weights, at the end of an epoch.
KINDS = {
    "negatives": {"loss_type": "bpr_max", "negative_sampling": True, "neg_sampling_extra_samples_per_batch": 7},
    "masked": {"model_type": "xlnet", "attn_type": "bi", "mlm": True, "gradient_accumulation_steps": 2},
    "best": {"validate_every": 1, "early_stopping_patience": 1, "num_train_epochs": 4, "learning_rate": 0.05},
    "averaged": {"ema_decay": 0.9, "num_train_epochs": 3, "validate_every": 1},
    "own": {"loss_type": "sampled_softmax", "sampled_negatives_per": "position", "num_sampled_negatives": 4},
    "sampled": {"loss_type": "gbce", "num_sampled_negatives": 4, "sparse_item_updates": True},
}


def outcomes(days: Path, folder: Path, kills, *, num_processes: int = 1, **flags):
    """Kill runs at the given places; give how many were killed, and which outcomes are not equal."""
    settings = SMALL | {"data_path": days, "feature_config": days / "features.yaml"} | flags
    settings["per_device_train_batch_size"] = 16 // num_processes
    line = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    folder.mkdir(exist_ok=True)
    asked = {"flags": line, "num_processes": num_processes, "kills": kills}
    (folder / "asked.json").write_text(json.dumps(asked))
    environment = os.environ | {"PYTHONPATH": str(CODES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(KILLS), "asked.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (folder / "console.txt").read_text()[-2000:]
    results = json.loads(done.stdout)
    return sum(was_killed for *_, was_killed, _ in results), [result for result in results if not result[-1]]


def test_runs_killed_inside_a_day_go_on_to_the_bit(toy_days, tmp_path):
    assert outcomes(toy_days, tmp_path / "runs", [["step", 3], ["step", 12], ["file", 40]]) == (3, [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_drawn_goes_on_to_the_bit(kind, toy_days, tmp_path):
    # In two batches a step, two epochs of two days have eight steps.
    kills = [["step", 3], ["step", 7], ["file", 30]]
    assert outcomes(toy_days, tmp_path / "runs", kills, **KINDS[kind]) == (3, [])


# A run of this size works on some 200 files; one whose number is not reached is no kill.
@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_kill_at_any_file_and_any_step_in_one_process(part, toy_days, tmp_path):
    kills = [["file", number] for number in range(7 * part, 210, 21)]
    kills += [["step", number] for number in range(1 + part, 16, 6)]
    num_killed, not_equal = outcomes(toy_days, tmp_path / "runs", kills)
    assert not_equal == [] and num_killed > 9


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1])
def test_a_kill_at_many_files_and_steps_in_two_processes(part, toy_days, tmp_path):
    kills = [["file", number] for number in range(1 + 20 * part, 200, 40)]
    kills += [["step", number] for number in range(2 + 3 * part, 16, 9)]
    num_killed, not_equal = outcomes(toy_days, tmp_path / "runs", kills, num_processes=2)
    assert not_equal == [] and num_killed > 4


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_after_its_step_with_one_line(number, exit_code, run_train, monkeypatch, capsys):
    flags = {"dropout": 0.2, "num_train_epochs": 2, "shuffle_buffer_size": 100}
    whole = run_train("whole", **flags)
    ask = StopRequest.on_step_end

    def stop_at_step_6(self, args, state, control, **others):
        if state.global_step == 6 and self.signal is None:
            os.kill(os.getpid(), number)
        ask(self, args, state, control, **others)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(StopRequest, "on_step_end", stop_at_step_6)
        run_train("parts", **flags)
    assert stopped.value.code == exit_code
    lines = [line for line in capsys.readouterr().err.splitlines() if "stopped by" in line]
    assert len(lines) == 1 and f"{signal.Signals(number).name} after step 6 of 2019-10-01" in lines[0]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    parts = run_train("parts", resume_from_checkpoint="true", **flags)
    for name in ("model.safetensors", "training_state.safetensors", "eval_train_results_dates.csv"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    assert not (parts / "checkpoints").exists()


def test_a_position_with_batches_of_another_size_leaves_no_session_out():
    position = Position("2019-10-01", step=25, num_skipped=0, steps_per_epoch=10, rows_per_step=8)
    assert position.step_with(steps_per_epoch=10, rows_per_step=8) == 25
    # Two epochs and 40 sessions; with batches of 16, 32 of these 40 are whole steps.
    assert position.step_with(steps_per_epoch=5, rows_per_step=16) == 12
    assert position.step_with(steps_per_epoch=20, rows_per_step=4) == 50


def test_a_schedule_that_is_moved_equals_one_that_stepped():
    def made():
        optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.3)
        return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 7))

    stepped, moved = made(), made()
    for _ in range(4):
        stepped.optimizer.step()
        stepped.step()
    move_schedule(moved, 4)
    for _ in range(3):
        assert moved.optimizer.param_groups[0]["lr"] == stepped.optimizer.param_groups[0]["lr"]
        assert moved.get_last_lr() == stepped.get_last_lr()
        for each in (stepped, moved):
            each.optimizer.step()
            each.step()


def test_processes_agree_on_a_signal_that_one_of_them_got(monkeypatch):
    stop = StopRequest()
    monkeypatch.setattr("transformers4recsys.distributed.world_size", lambda: 2)
    monkeypatch.setattr("transformers4recsys.distributed.sum_over_ranks", lambda row: row + torch.tensor([0, 15]))
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    args = SimpleNamespace(device=torch.device("cuda"))
    stop.on_step_end(args, SimpleNamespace(global_step=9), control)
    assert not control.should_save
    stop.on_step_end(args, SimpleNamespace(global_step=10), control)
    assert control.should_save and control.should_training_stop and stop.signal == 15


def test_a_signal_ends_an_evaluation_and_the_day_goes_on_to_the_bit(run_train, monkeypatch, capsys):
    flags = {"end_date": "2019-10-02", "per_device_eval_batch_size": 8}
    whole = run_train("whole", **flags)
    require_none, num_asked = StopRequest.require_none, []

    def stop_in_the_third_batch(self):
        num_asked.append(1)
        if len(num_asked) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        require_none(self)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(StopRequest, "require_none", stop_in_the_third_batch)
        run_train("parts", **flags)
    assert stopped.value.code == 143 and len(num_asked) == 4
    assert "stopped by SIGTERM after step 4 of 2019-10-01, which is saved; go on with" in capsys.readouterr().err
    assert not (whole.with_name("parts") / "eval_results_dates.txt").exists()
    parts = run_train("parts", resume_from_checkpoint="true", **flags)
    for name in ("model.safetensors", "training_state.safetensors", "eval_train_results_dates.csv"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_a_signal_after_the_last_evaluation_is_not_forgotten(run_train, monkeypatch, capsys):
    save_day = RunWriter.save_day

    def signal_after(self, *arguments, **options):
        save_day(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunWriter, "save_day", signal_after)
    with pytest.raises(SystemExit) as stopped:
        run_train("out", end_date="2019-10-02")
    assert stopped.value.code == 130
    assert "stopped by SIGINT when all days were finished\n" in capsys.readouterr().err
    assert Path("out/eval_results_avg_over_days.txt").exists()


def test_processes_ask_equally_often_whatever_they_have_to_evaluate(monkeypatch):
    stop, asked = StopRequest(), []
    monkeypatch.setattr(stop, "agreed", lambda: bool(asked.append(1)))
    for num_batches in (3, 2):
        reader = SimpleNamespace(num_steps=3, batches=lambda epoch, of_rank=num_batches: iter(range(of_rank)))
        assert list(StoppableReader(reader, stop, torch.device("cpu")).batches(0)) == list(range(num_batches))
        assert len(asked) == 3
        asked.clear()
    reader = SimpleNamespace(num_steps=21, batches=lambda epoch: iter(range(21)))
    assert len(list(StoppableReader(reader, stop, torch.device("cuda")).batches(0))) == 21 and len(asked) == 3


@pytest.mark.parametrize(
    ("number", "num_processes", "error"),
    [(signal.SIGINT, 1, KeyboardInterrupt), (signal.SIGTERM, 1, SystemExit), (signal.SIGINT, 2, None)],
)
def test_before_the_days_one_process_ends_at_once_and_several_agree_first(number, num_processes, error, monkeypatch):
    monkeypatch.setattr("transformers4recsys.distributed.world_size", lambda: num_processes)
    monkeypatch.setattr("transformers4recsys.distributed.sum_over_ranks", lambda row: row)
    with StopRequest().listening() as stop:
        with pytest.raises(error) if error else contextlib.nullcontext():
            os.kill(os.getpid(), number)
        # What has swallowed the exception does not keep the run from ending.
        assert stop.agreed() and stop.signal == number
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
