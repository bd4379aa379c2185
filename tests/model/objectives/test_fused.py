"""The fused cross entropy equals its plain twin in value and gradient, and is taken where it runs.

Here a stand-in does what the kernel of liger-kernel does; the same tests run once more with the kernel itself, which
Triton interprets on the CPU, and those marked gpu with the kernel on a GPU.
"""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from transformers4recsys.model.objectives import OBJECTIVES, LossSettings, chunked, fused, make_objective
from transformers4recsys.model.objectives.catalogue import cross_entropy
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.row_shards import RowShards

ROOT = Path(__file__).parents[3]
NUM_ITEMS, WIDTH = 50, 8
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NEEDS_THE_EXTRA = "the extra `gpu` is not installed"


class StandIn:
    """The softmax over rows of scores, written over them as gradients, by plain functions."""

    def __init__(self):
        self.rows_of_calls = []

    def __getitem__(self, grid):
        self.rows_of_calls += grid
        return self.run

    def run(self, X_ptr, Y_ptr, loss_ptr, n_cols, n_non_ignore, **others):
        assert X_ptr.shape == (len(Y_ptr), n_cols) and X_ptr.stride() == (others["X_stride"], 1)
        assert n_cols % 16 == 0, "rows that are fast to multiply"
        logs = X_ptr.float().log_softmax(1)
        loss_ptr -= logs.gather(1, Y_ptr[:, None])[:, 0] / n_non_ignore
        share = logs.exp().scatter_add(1, Y_ptr[:, None], -torch.ones_like(loss_ptr)[:, None])
        X_ptr.copy_(share / n_non_ignore)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")],
        ),
    ]
)
def device(request, monkeypatch):
    if request.param == "cuda" or IS_INTERPRETED:
        pytest.importorskip("liger_kernel", reason=NEEDS_THE_EXTRA)
    else:
        monkeypatch.setattr(fused, "_kernel", StandIn)
    return request.param


def inputs(num_labels, *, num_items=NUM_ITEMS, spread=0.3, device="cpu"):
    generator = torch.Generator().manual_seed(num_labels)
    hidden = torch.randn(num_labels, WIDTH, generator=generator)
    table = spread * torch.randn(num_items, WIDTH, generator=generator)
    item_bias = torch.randn(num_items, generator=generator)
    labels = torch.randint(1, num_items, (num_labels,), generator=generator)
    return *(each.to(device).requires_grad_() for each in (hidden, table, item_bias)), labels.to(device)


def value_and_gradients(loss, hidden, table, item_bias, labels, **options):
    padding = torch.zeros_like(item_bias)
    padding[0] = -torch.inf
    value = loss(hidden, table, item_bias + padding, labels, **options)
    return value.detach(), *torch.autograd.grad(3 * value, (hidden, table, item_bias))


def assert_near(found, expected, share):
    """Compare value and gradients by the length of their difference; padding learns nothing at all."""
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and (one - other).norm() <= share * other.norm()
    assert not found[2][0].any() and not found[3][0].any()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
# Scores of some hundreds overflow exp() unless the largest is taken off first.
@pytest.mark.parametrize("spread", [0.3, 100.0])
@pytest.mark.parametrize(("rows", "items"), [(7, 3), (1, 50), (64, 1000)])
def test_equals_the_plain_twin(rows, items, spread, label_smoothing, device, monkeypatch):
    monkeypatch.setattr(chunked, "SCORES_AT_A_TIME", rows * 64)
    monkeypatch.setattr(chunked, "LEAST_ROWS", 1)
    monkeypatch.setattr(chunked, "ITEMS_OF_A_BLOCK", items)
    given = inputs(20, spread=spread, device=device)
    expected = value_and_gradients(cross_entropy, *given, label_smoothing=label_smoothing)
    assert_near(value_and_gradients(fused.cross_entropy, *given, label_smoothing=label_smoothing), expected, 2e-5)


def test_more_items_than_the_kernel_and_a_product_take_at_a_time(device):
    given = inputs(3, num_items=70_001, device=device)
    expected = value_and_gradients(cross_entropy, *given)
    assert_near(value_and_gradients(fused.cross_entropy, *given), expected, 2e-5)


@pytest.mark.parametrize(("precision", "share"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("spread", [0.3, 10.0])
def test_products_in_half_precision_are_near(spread, label_smoothing, precision, share, device):
    given = inputs(200, spread=spread, device=device)
    expected = value_and_gradients(cross_entropy, *given, label_smoothing=label_smoothing)
    with torch.autocast(device, precision):
        found = value_and_gradients(fused.cross_entropy, *given, label_smoothing=label_smoothing)
    assert_near(found, expected, share)


def test_half_precision_keeps_small_gradients_apart_from_zero(device):
    """Most items have a share of about 7e-8, which is one step from 0 in half precision."""
    num_items = 400_000
    hidden, table, item_bias, labels = inputs(6, num_items=num_items, spread=0.02, device=device)
    given = hidden, table, (item_bias - 9 * (torch.arange(num_items, device=device) > 999)).detach().requires_grad_()
    expected = value_and_gradients(cross_entropy, *given, labels % 999 + 1)
    with torch.autocast(device, torch.float16):
        found = value_and_gradients(fused.cross_entropy, *given, labels % 999 + 1)
    # Labels' gradients are far larger than those of other items: each by itself.
    for one, other in zip(found[2:], expected[2:], strict=True):
        for part in (slice(0, 1_000), slice(1_000, None)):
            assert (one[part] - other[part]).norm() <= 0.01 * other[part].norm()


def test_gradients_of_half_precision_come_with_the_scale_of_the_loss(device):
    """Of one label in 60,000 those of hidden states are zeros in half precision, but for a scale as --fp16 has."""
    hidden, table, item_bias, labels = inputs(2, spread=1e-3, device=device)
    half = hidden.detach().half().requires_grad_()
    with torch.autocast(device, torch.float16):
        loss = fused.cross_entropy(half, table, item_bias, labels) / 60_000
        expected = cross_entropy(half.float(), table, item_bias, labels) / 60_000
    (found,) = torch.autograd.grad(loss * 65_536, half)
    (expected,) = torch.autograd.grad(expected * 65_536, half)
    assert found.dtype == torch.float16 and (found - expected).norm() <= 0.01 * expected.norm()


def test_numbers_that_are_not_finite_are_not_hidden(device):
    hidden, *others = inputs(4, device=device)
    assert fused.cross_entropy(hidden * torch.nan, *others).isnan()


def test_no_label_costs_nothing(device):
    assert fused.cross_entropy(*inputs(0, device=device)) == 0


@pytest.mark.parametrize(("least_rows", "expected"), [(1, [5, 5, 3]), (7, [7, 6])])
def test_never_holds_more_scores_than_there_is_room_for(least_rows, expected, monkeypatch):
    kernel = StandIn()
    monkeypatch.setattr(fused, "_kernel", lambda: kernel)
    monkeypatch.setattr(chunked, "SCORES_AT_A_TIME", 5 * 64)
    monkeypatch.setattr(chunked, "LEAST_ROWS", least_rows)
    value_and_gradients(fused.cross_entropy, *inputs(13))
    assert kernel.rows_of_calls == expected


def test_needs_no_answer_of_the_device(monkeypatch):
    """Tensors on `meta` have a shape and no values: whoever asks for one, or for a size that depends on it, fails."""
    monkeypatch.setattr(fused, "_kernel", StandIn)
    # Autocast alone does not know that device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    given = inputs(20, device="meta")
    assert value_and_gradients(fused.cross_entropy, *given, label_smoothing=0.1)[0].device.type == "meta"


@pytest.mark.parametrize(
    ("device", "is_installed", "interpreter", "is_compiling", "expected"),
    [
        ("cuda", True, None, False, True),
        ("cuda", False, None, False, False),
        ("cuda", True, None, True, False),
        ("cpu", True, None, False, False),
        ("cpu", True, "0", False, False),
        ("cpu", True, "1", False, True),
        ("cpu", False, "1", False, False),
        ("meta", True, "1", False, False),
        ("mps", True, None, False, False),
    ],
)
def test_where_it_runs(device, is_installed, interpreter, is_compiling, expected, monkeypatch):
    monkeypatch.setattr(fused, "_is_installed", lambda: is_installed)
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: is_compiling)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if interpreter is not None:
        monkeypatch.setenv("TRITON_INTERPRET", interpreter)
    assert fused.runs_on(torch.device(device)) is expected


@pytest.mark.parametrize(
    ("version", "expected", "warnings"),
    [(None, False, 0), ("0.8.5", True, 0), *((each, False, 1) for each in ("0.9.0", "0.8.6", "0.8.50", "0.8.4"))],
)
def test_the_extra_is_looked_for_in_a_version_that_is_known(version, expected, warnings, monkeypatch, caplog):
    def look_up(name):
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(fused.importlib.metadata, "version", look_up)
    fused._is_installed.cache_clear()
    assert [fused._is_installed() for _ in range(2)] == [expected, expected]
    assert [version in record.getMessage() for record in caplog.records] == [True] * warnings
    fused._is_installed.cache_clear()


def test_the_extra_installs_the_version_that_is_known():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (requirement,) = extras["gpu"]
    assert requirement.partition(";")[0] == f"liger-kernel=={fused.KNOWN_VERSION}"
    assert f"liger-kernel=={fused.KNOWN_VERSION}" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.fixture
def taken(monkeypatch):
    """Which of both is called, in place of what it gives; `taken.runs` says whether the fused one runs."""
    names, runs = [], []
    for module in (fused, chunked):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "cross_entropy", partial(lambda name, *_, **__: names.append(name), name))
    monkeypatch.setattr(fused, "runs_on", lambda device: runs.pop())
    return names, runs


@pytest.mark.parametrize(
    ("runs", "shards", "expected"),
    [(True, None, "fused"), (False, None, "chunked"), (True, RowShards(NUM_ITEMS, 0, 2), "chunked")],
)
def test_fused_where_it_runs_and_the_table_is_whole(runs, shards, expected, taken):
    names, answers = taken
    answers.append(runs)
    fused.fastest_cross_entropy(*inputs(2), label_smoothing=0.1, shards=shards)
    assert names == [expected]


@pytest.mark.parametrize("loss_type", ["cross_entropy", "cross_entropy_neg"])
def test_losses_over_the_catalogue_take_the_fastest(loss_type):
    objective = make_objective(
        LossSettings(loss_type), LossSetup(WIDTH, NUM_ITEMS, has_negative_column=True, label_smoothing=0.1)
    )
    assert objective.objectives[0].loss.func is fused.fastest_cross_entropy
    assert objective.objectives[0].loss.keywords == {"label_smoothing": 0.1}
    assert OBJECTIVES["cross_entropy"].function is fused.fastest_cross_entropy


@pytest.mark.skipif(IS_INTERPRETED, reason="this is that run")
def test_the_kernel_itself_by_the_interpreter_of_triton():
    pytest.importorskip("liger_kernel", reason=NEEDS_THE_EXTRA)
    line = [sys.executable, "-m", "pytest", "-m", "not gpu", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(line, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    passed = re.search(r"(\d+) passed", result.stdout)
    assert result.returncode == 0 and passed and int(passed[1]) > 30, result.stdout
