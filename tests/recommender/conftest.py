"""A small log with all kinds of columns, its day files, and runs trained on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys import cli
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess

DAYS = ("2024-01-05", "2024-01-06", "2024-01-07")
TYPES = {"visit": "string", "user": "string", "time": pa.timestamp("us"), "sku": "string", "category": "string"}
TYPES |= {"brand": "string", "price": "float64", "weight": "float64"}


def events_of_shop() -> pa.Table:
    """Three days of visits of some users: ties, repeats, missing values, and products whose price changes by day."""
    draw = random.Random(7)
    products = [f"sku-{number}" for number in range(25)]
    of = {sku: (f"c{draw.randrange(4)}", draw.choice([None, "A", "B"]), draw.choice([None, 1.5])) for sku in products}
    rows = []
    for visit in range(150):
        time = datetime.fromisoformat(DAYS[visit // 50]) + timedelta(seconds=draw.randrange(80_000))
        user, place = draw.choice([None, *(f"u{number}" for number in range(12))]), draw.randrange(25)
        for _ in range(draw.randrange(1, 9)):
            time += timedelta(seconds=draw.choice([0, 1, 60, 900]))
            place = (place + draw.choice([0, 1, 1, 1, 5])) % 25
            category, brand, weight = of[products[place]]
            price = draw.choice([None, 5.0 + place + visit // 50])
            rows.append([f"v{visit * 37 % 150:03}", user, time, products[place], category, brand, price, weight])
    draw.shuffle(rows)
    columns = zip(TYPES.items(), zip(*rows, strict=True), strict=True)
    return pa.table({name: pa.array(values, kind) for (name, kind), values in columns})


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `log.parquet` and the day files that were made of it in `days`."""
    folder = tmp_path_factory.mktemp("shop")
    pq.write_table(events_of_shop(), folder / "log.parquet")
    recipe = Recipe(
        item_column="sku",
        time_column="time",
        session_column="visit",
        user_column="user",
        category_column="category",
        price_column="price",
        categorical_columns=("brand",),
        numeric_columns=("weight",),
        session_length_max=5,
        past_length_max=6,
        names={"item_id": "product"},
    )
    preprocess(LogSettings(folder / "log.parquet", folder / "days"), recipe)
    return folder


@pytest.fixture
def day_rows(shop: Path) -> Callable[..., list[dict]]:
    """Read the rows of the day files of a split."""

    def read(split: str, days: Sequence[str] = DAYS) -> list[dict]:
        files = [shop / "days" / f"session_start_date={day}-{split}.parquet" for day in days]
        return pa.concat_tables(pq.read_table(file) for file in files).to_pylist()

    return read


@pytest.fixture
def train_on_shop(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train on all days of the shop but the last, which is evaluated; give the output folder."""
    monkeypatch.chdir(tmp_path)

    def train(config: str = "features.yaml", **flags: object) -> Path:
        days, output = shop / "days", tmp_path / "run"
        settings = {
            **{"output_dir": output, "data_path": days, "feature_config": days / config},
            **{"start_date": DAYS[0], "end_date": DAYS[-1], "do_train": True, "do_eval": True},
            **{"d_model": 16, "n_layer": 1, "n_head": 2, "learning_rate": 0.01, "session_seq_length_max": 5},
            **{"report_to": "none", "use_cpu": True, "workers_count": 0, "save_steps": 0},
            **{"eval_on_last_item_seq_only": True, "log_predictions": True, "predict_top_k": 7},
        }
        settings |= flags
        line = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        assert cli.main(["train", *line]) == 0
        return output

    return train
