"""A number that is not finite ends the run with day and step, and what was saved before stays."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from transformers4recsys.errors import DivergedError
from transformers4recsys.training.finite import FiniteWatch

NAN, INF = float("nan"), float("inf")
CPU = torch.device("cpu")


def see(watch, loss, norm, step=7):
    watch.see(step, torch.tensor(loss), None if norm is None else torch.tensor(norm))


@pytest.mark.parametrize(
    ("loss", "norm", "said"),
    [
        (NAN, 1.0, "the loss is nan"),
        (INF, NAN, "the loss is inf"),
        (2.0, INF, "the norm of the gradients is inf"),
        (NAN, None, "the loss is nan"),
    ],
)
def test_a_step_is_stopped_before_it_moves_a_weight(loss, norm, said):
    watch = FiniteWatch(CPU, advice="Lower it.")
    watch.start("2024-01-02")
    see(watch, 2.0, 3.0, step=6)
    with pytest.raises(DivergedError, match=f"2024-01-02, step 7 of the day: {said}; nothing of it .* Lower it."):
        see(watch, loss, norm)


def test_elsewhere_the_first_bad_step_is_told_when_it_is_looked_for():
    watch = FiniteWatch(CPU, advice="")
    watch.looks_at_once = False
    for step in range(1, 50):
        see(watch, NAN if step >= 31 else 1.0, INF if step >= 30 else 1.0, step)
    with pytest.raises(DivergedError, match="step 30 of the day"):
        see(watch, NAN, NAN, 50)
    watch.start("2024-01-03")
    watch.check()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_weights_buffers_and_moments_are_looked_at(bad):
    for where in ("weight", "buffer", "moment"):
        model = nn.BatchNorm1d(3)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        watch = FiniteWatch(CPU, advice="")
        watch.check_model(model, optimizer, 9)
        tensors = {"weight": model.bias.data, "buffer": model.running_var}
        tensors["moment"] = optimizer.state[model.bias]["exp_avg_sq"]
        tensors[where][1] = bad
        with pytest.raises(DivergedError, match="step 9"):
            watch.check_model(model, optimizer, 9)


@pytest.mark.parametrize(
    "flags",
    [{"learning_rate": 1e10}, {"learning_rate": 1e30, "max_grad_norm": 0}, {"loss_scale_factor": 1e38}],
)
def test_a_run_that_diverges_keeps_the_last_good_model_and_gives_exit_code_1(flags, run_train, capsys):
    folder = run_train(end_date="2019-10-02")
    good = safetensors.torch.load_file(folder / "model.safetensors")
    files = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    capsys.readouterr()
    more = {"end_date": "2019-10-03", "resume_from_checkpoint": "true", "num_train_epochs": 30}
    run_train(exit_code=1, **more, **flags)
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and "Traceback" not in said
    assert "2019-10-02, step " in said.split("error: ")[1]
    assert json.loads((folder / "progress.json").read_text())["last_day"].startswith("2019-10-01")
    for name, weight in safetensors.torch.load_file(folder / "model.safetensors").items():
        assert torch.equal(weight, good[name])
    assert {path.name: path.read_bytes() for path in folder.glob("*.txt")} == files
