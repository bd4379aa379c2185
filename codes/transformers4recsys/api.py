"""The commands as Python functions: their settings by name, tables as well as paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from transformers4recsys import day_format
from transformers4recsys.errors import InputError
from transformers4recsys.recommender.recommender import Table

if TYPE_CHECKING:
    from transformers4recsys.recommender import Recommender


def preprocess(input: Any, output: str | Path, **settings: Any) -> pa.Table:
    """Turn raw events into the day files of `output`; give a row a day: day, and how many events and sessions.

    `input` is a table of events (pandas, polars or arrow), or a path or pattern, or a list of these. Further settings
    are those of the command: `item_column`, `time_column`, `recipe`, ... Raise InputError on what cannot be used.
    """
    from transformers4recsys.commands import preprocess as command

    parts = list(input) if isinstance(input, list | tuple) else [input]
    with TemporaryDirectory(prefix="transformers4recsys-") as folder:
        paths = [_as_file(part, Path(folder) / f"part-{number:05}.parquet") for number, part in enumerate(parts)]
        command.run({"input": paths, "output": str(output), **settings})
    manifest = json.loads((Path(output).expanduser() / day_format.MANIFEST_FILE).read_text(encoding="utf-8"))
    return pa.Table.from_pylist([{"day": day, **counts} for day, counts in sorted(manifest["days"].items())])


def train(data_path: Any, output_dir: str | Path, **settings: Any) -> Recommender:
    """Train on each day, evaluate on the next one, and give the trained Recommender, with its `results`.

    `data_path` is a folder of day files, or a mapping from day to table of sessions, or to tables by split (train,
    valid, test). Further settings are those of the command; `feature_config` may be a mapping, and is the
    features.yaml of the folder without one; `start_date` and `end_date` are the first and last day there is.
    """
    from transformers4recsys.commands import train as command
    from transformers4recsys.recommender import Recommender

    with ExitStack() as stack:
        folder = stack.enter_context(_as_day_files(data_path))
        values = {"do_train": True, "do_eval": True, **_found_in(folder, settings), **settings}
        if isinstance(values.get("feature_config"), Mapping):
            config = Path(stack.enter_context(TemporaryDirectory(prefix="transformers4recsys-"))) / "features.yaml"
            config.write_text(yaml.safe_dump(dict(values["feature_config"]), sort_keys=False), encoding="utf-8")
            values["feature_config"] = str(config)
        command.run({"data_path": folder, "output_dir": str(output_dir), **values})
    return Recommender.load(output_dir)


def _as_file(part: Any, path: Path) -> str:
    if not isinstance(part, Table):
        return str(part)
    pq.write_table(pa.table(part), path)
    return str(path)


@contextmanager
def _as_day_files(data_path: Any) -> Iterator[str]:
    """Give the folder of the day files; tables are written to one that is gone in the end."""
    if not isinstance(data_path, Mapping):
        yield str(data_path)
        return
    with TemporaryDirectory(prefix="transformers4recsys-") as folder:
        for day, tables in data_path.items():
            by_split = dict.fromkeys(day_format.SPLITS, tables) if isinstance(tables, Table) else tables
            if not isinstance(by_split, Mapping):
                raise InputError(f"`data_path`: {day} has {tables!r}; give a table of sessions, or tables by split")
            for split, table in by_split.items():
                if split not in day_format.SPLITS:
                    raise InputError(f"`data_path`: {day} has a split {split!r}; allowed are train, valid and test")
                pq.write_table(pa.table(table), Path(folder) / day_format.file_name(str(day), split))
        yield folder


def _found_in(folder: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Say which days and which feature config a local folder has."""
    path, unit = Path(folder).expanduser(), day_format.TIME_UNITS.get(str(settings.get("time_unit", "day")))
    if not path.is_dir() or unit is None:
        return {}
    found = {}
    if days := unit.names_in(entry.name for entry in path.iterdir()):
        found |= {"start_date": days[0], "end_date": days[-1]}
    if (path / day_format.FEATURES_FILE).is_file():
        found["feature_config"] = str(path / day_format.FEATURES_FILE)
    return found
