"""Toy schemas, batches and models that many tests share."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from transformers4recsys import batch, cli
from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.objectives.catalogue import CatalogObjective, cross_entropy
from transformers4recsys.model.scoring import ItemScorer, ScorerSettings
from transformers4recsys.model.targets import CausalTargets
from transformers4recsys.schema import Schema

NUM_ITEMS = 31


@pytest.fixture
def schema() -> Schema:
    """An item id, a category and a price."""
    return Schema.from_entries(
        {
            "item_id": {"dtype": "categorical", "cardinality": NUM_ITEMS, "is_label": True},
            "category": {"dtype": "categorical", "cardinality": 5},
            "price": {"dtype": "float"},
        }
    )


@pytest.fixture
def without_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A device that refuses float64 as Apple's GPUs do, inside of the test: PyTorch's `meta`, which reads as ones."""

    class Refusing(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
            named = named or {}
            is_there = bool(given) and isinstance(given[0], torch.Tensor) and given[0].device.type == "meta"
            if is_there and function is torch.ops.aten._local_scalar_dense.default:
                return 1
            if is_there and torch.device(named.get("device") or "meta").type == "cpu":
                return torch.ones(given[0].shape, dtype=named.get("dtype") or given[0].dtype)
            result = function(*given, **named)
            if isinstance(result, torch.Tensor) and result.device.type == "meta" and result.dtype == torch.double:
                raise TypeError(f"{function}: this device has no float64")
            return result

    monkeypatch.setattr(batch, "WITHOUT_FLOAT64", ("meta",))
    with Refusing():
        yield "meta"


@pytest.fixture
def make_batch() -> Callable[[list[list[int]]], Batch]:
    """Sessions of item ids to a batch; category and price follow from the item."""

    def make(sessions: list[list[int]]) -> Batch:
        return Batch(
            {
                "item_id": Jagged.from_lists(sessions, torch.long),
                "category": Jagged.from_lists([[item % 4 + 1 for item in session] for session in sessions], torch.long),
                "price": Jagged.from_lists([[item / 10 for item in session] for session in sessions], torch.float32),
            }
        )

    return make


@pytest.fixture
def make_model() -> Callable[..., NextItemModel]:
    """A small model of any encoder, reproducible, in evaluation mode."""

    def make(schema: Schema, model_type: str, *, is_tied: bool = False, d_model: int = 16, **sizes: object):
        torch.manual_seed(0)
        features = FeatureEmbedder(schema, d_model=d_model, item_width=d_model if is_tied else None)
        settings = EncoderSettings(d_model, **{"n_layer": 2, "n_head": 2, "max_length": 24, "dropout": 0.1, **sizes})
        scorer = ItemScorer(
            d_model,
            ScorerSettings("tanh", constrained_embeddings=is_tied),
            num_items=schema.item_id.cardinality,
            table_width=d_model,
        )
        model = NextItemModel(
            schema,
            features=features,
            encoder=ENCODERS[model_type](settings),
            scorer=scorer,
            objective=CatalogObjective(cross_entropy),
            training_targets=CausalTargets(),
            evaluation_targets=CausalTargets(),
            has_attentions=settings.has_attentions,
        )
        # Weights as drawn make nearly equal scores; larger ones let a wrong connection show.
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(4)
        return model.eval()

    return make


class Killed(BaseException):
    """Stands for a signal that ends a process at once."""


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Do some work that dies before it calls these functions of `os` more than `number` times; say whether it did."""

    def dying(call: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
        def limited(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return call(*arguments, **options)

        return limited

    def run(number: int, names: Sequence[str], work: Callable[[], object]) -> bool:
        left = iter(range(number))
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(os, name, dying(getattr(os, name), left))
            try:
                work()
            except Killed:
                return True
        return False

    return run


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each parquet file was opened for reading, by path."""
    open_file, counts = pq.ParquetFile, Counter[str]()

    def open_and_count(path: str, **settings: Any) -> pq.ParquetFile:
        counts[path] += 1
        return open_file(path, **settings)

    monkeypatch.setattr(pq, "ParquetFile", open_and_count)
    return counts


def write_day_file(folder: Path, day: str, split: str, sessions: list[list[int]]) -> None:
    """Write one day file of sessions; price, past and session id follow from the items."""
    columns = {
        "session_id": pa.array(range(len(sessions)), pa.int64()),
        "item_id": pa.array(sessions, pa.list_(pa.int64())),
        "price": pa.array([[item / 10 for item in session] for session in sessions], pa.list_(pa.float64())),
        "bef_item_id": pa.array([session[:2] for session in sessions], pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(columns), folder / f"session_start_date={day}-{split}.parquet", row_group_size=16)


@pytest.fixture
def write_day(toy_days: Path) -> Callable[[str, str, list[list[int]]], None]:
    """Replace a file of the toy days."""
    return partial(write_day_file, toy_days)


@pytest.fixture
def toy_days(tmp_path: Path) -> Path:
    """Four days of 60 sessions over 30 items, each item mostly followed by the next one, and a feature config."""
    generator = np.random.default_rng(5)
    folder = tmp_path / "days"
    folder.mkdir()
    for number in range(4):
        sessions = []
        for _ in range(60):
            steps = np.where(generator.random(generator.integers(1, 9)) < 0.7, 1, generator.integers(0, 30))
            sessions.append(((generator.integers(30) + np.concatenate([[0], steps.cumsum()])) % 30 + 1).tolist())
        day = date(2019, 10, 1) + timedelta(days=number)
        for split, rows in (("train", sessions), ("valid", sessions[:30]), ("test", sessions[30:])):
            write_day_file(folder, str(day), split, rows)
    features = {
        "item_id": {"dtype": "categorical", "cardinality": 31, "is_label": True, "log_with_preds_as_metadata": True},
        "bef_item_id": {"dtype": "categorical", "cardinality": 31, "emb_table": "item_id"},
        "price": {"dtype": "float"},
        "session_id": {"dtype": "long", "is_control": True, "log_with_preds_as_metadata": True},
    }
    (folder / "features.yaml").write_text(yaml.safe_dump(features, sort_keys=False))
    return folder


@pytest.fixture
def run_train(toy_days: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the training command on the toy days; flags override or add; the output folder comes back."""
    monkeypatch.chdir(tmp_path)

    def run(name: str = "out", exit_code: int = 0, **flags: object) -> Path:
        settings: dict[str, object] = {
            "output_dir": name,
            "do_train": True,
            "do_eval": True,
            "data_path": toy_days,
            "start_date": "2019-10-01",
            "end_date": "2019-10-03",
            "feature_config": toy_days / "features.yaml",
            "model_type": "gru",
            "d_model": 16,
            "n_layer": 1,
            "n_head": 2,
            "learning_rate": 0.01,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 16,
            "save_steps": 0,
            "report_to": "none",
            "use_cpu": True,
            "workers_count": 0,
        } | flags
        line = [word for key, value in settings.items() if value is not None for word in (f"--{key}", str(value))]
        assert cli.main(["train", *line]) == exit_code
        return tmp_path / name

    return run


@pytest.fixture
def in_processes(tmp_path: Path) -> Callable[..., list[Any]]:
    """Call a function of a test file, which needs no arguments, in some processes; give the answer of each."""

    def run(function: Callable[[], Any], num_ranks: int = 2) -> list[Any]:
        source = str(Path(cli.__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
        words = [Path(__file__).with_name("in_process.py"), inspect.getfile(function), function.__name__]
        processes = [
            subprocess.Popen([sys.executable, *map(str, [*words, rank, num_ranks, tmp_path])], env=environment)
            for rank in range(num_ranks)
        ]
        try:
            assert [process.wait(timeout=120) for process in processes] == [0] * num_ranks
        finally:
            for process in processes:
                process.kill()
        return [torch.load(tmp_path / f"answer_{rank}") for rank in range(num_ranks)]

    return run
