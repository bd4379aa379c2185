"""Train every encoder, task, loss and kind of input for a few days: python benchmarks/zoo.py [--eshop events.parquet].

Each combination is one `train` command, run by `transformers4recsys.cli`, on a made-up shop and on eshop2008. It adds
a line to docs/zoo.csv, so that a run that was stopped goes on where it was; delete lines to run them again. At the end
docs/models.md and docs/zoo.png are written anew from that file; `--docs` names another folder for the three. Two
processes of one thread each share the work. The speed is events per second of processor time inside
`RecSysTrainer.train`, which neighbours disturb less than the clock.
"""

import argparse
import csv
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml
from zoo_page import write_page, write_plot

from transformers4recsys import cli
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.model.objectives.negative_columns import SIMILARITIES
from transformers4recsys.training.trainer import RecSysTrainer

ROOT = Path(__file__).parents[1]
DOCS, CSV, PAGE, PLOT = ROOT / "docs", "zoo.csv", "models.md", "zoo.png"
TIED = "--constrained_embeddings"
COLUMNS = (
    *("group", "encoder", "task", "loss", "inputs", "shop_ndcg@10", "shop_recall@20", "shop_popular_ndcg@10"),
    *("eshop2008_ndcg@10", "eshop2008_recall@20", "eshop2008_popular_ndcg@10"),
    *("shop_events_per_s", "eshop2008_events_per_s", "seconds", "remark"),
)


@dataclass(frozen=True)
class DataSet:
    """Day files, and how they are trained on; metrics are the mean over the last `days_reported` days."""

    name: str
    start_date: str
    end_date: str
    epochs: int
    window: int
    days_reported: int


# The first day that `preprocess` writes has no negatives, so none of the two begins there.
SHOP = DataSet("shop", "2019-10-02", "2019-10-04", epochs=4, window=1, days_reported=1)
ESHOP = DataSet("eshop2008", "2008-06-17", "2008-06-30", epochs=1, window=14, days_reported=7)
ESHOP_FIRST_DAY = "2008-06-10"


@dataclass(frozen=True)
class Combination:
    """What is trained: flags beside those that all share; `columns` is item or all."""

    group: str
    encoder: str = "gpt2"
    task: str = "causal"
    loss: str = "cross_entropy"
    loss_flags: str = ""
    inputs: str = TIED
    columns: str = "item"
    only_shop: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Its names in the table."""
        inputs = self.inputs if self.columns == "item" else f"all columns {self.inputs}"
        return self.group, self.encoder, self.task, f"{self.loss} {self.loss_flags}".strip(), inputs

    def flags(self) -> list[str]:
        """Spell it as flags of `train`."""
        both_ways = "--attn_type bi" if self.encoder == "xlnet" else ""
        task = f"--mlm --mlm_probability 0.3 {both_ways}" if self.task == "masked" else ""
        words = f"--model_type {self.encoder} {task} --loss_type {self.loss} {self.loss_flags} {self.inputs}"
        return words.split()


def losses(kind: str) -> list[str]:
    return [name for name, loss in OBJECTIVES.items() if loss.kind == kind]


def combinations() -> list[Combination]:
    """List all that is run: encoders, then losses and inputs of one encoder."""
    pairwise = [
        Combination("losses", loss=name, loss_flags=_pairwise_flags(name)) for name in sorted(losses("in_batch"))
    ]
    alone = "--all_rescale_factor 0 --neg_rescale_factor 1 --similarity_type cosine"
    beside = [f"--neg_rescale_factor 1 --similarity_type {name}" for name in SIMILARITIES]
    return [
        *(Combination("encoders", name) for name in ENCODERS),
        Combination("losses", loss_flags="--label_smoothing_factor 0.1"),
        *(Combination("losses", loss=name) for name in losses("catalogue") if name != Combination.loss),
        *(Combination("losses", loss=name) for name in losses("sampled")),
        *pairwise,
        *(
            Combination("losses on negative columns", loss=name, loss_flags=flags)
            for flags in (alone, *beside)
            for name in losses("negative_column")
        ),
        Combination("losses on negative columns", loss="margin_hinge_a", loss_flags=f"{alone} --margin_loss 0.3"),
        Combination("inputs", inputs=""),
        Combination("inputs", inputs="--mf_constrained_embeddings"),
        Combination("inputs", inputs="--use_ohe_item_ids_inputs"),
        Combination("inputs", columns="all"),
        Combination("inputs", columns="all", inputs=f"{TIED} --inp_merge attn"),
        Combination("inputs", inputs=f"{TIED} --session_aware", only_shop=True),
        *(Combination("encoders", name, "masked") for name in ENCODERS),
    ]


def _pairwise_flags(name: str) -> str:
    return "--negative_sampling" + (" --bpr_max_reg_lambda 0.1" if name.endswith("_reg") else "")


def train_flags(combination: Combination, data: DataSet, folder: Path) -> list[str]:
    """Spell one training; masked items learn from fewer targets a session, so they get twice the epochs."""
    epochs = data.epochs * (2 if combination.task == "masked" else 1)
    features = f"features_{combination.columns}.yaml"
    shared = f"""--do_train --do_eval --overwrite_output_dir --report_to none --use_cpu --save_steps 0 --workers_count 0
        --data_path {folder / data.name} --feature_config {folder / data.name / features}
        --start_date {data.start_date} --end_date {data.end_date} --training_time_window_size {data.window}
        --output_dir {folder / f"results_{os.getpid()}"} --d_model 64 --n_layer 1 --n_head 2 --tf_out_activation tanh
        --initializer_range 0.05 --num_train_epochs {epochs} --learning_rate 0.003 --per_device_train_batch_size 64
        --per_device_eval_batch_size 512 --shuffle_buffer_size 100000 --eval_on_last_item_seq_only
        --eval_steps_on_train_set 1 --logging_strategy no"""
    return [*shared.split(), *combination.flags()]


def write_data(folder: Path, eshop: Path | None) -> list[DataSet]:
    """Make the day files that are not there yet; give the data sets there are."""
    negatives = ["--neg_samples", "10", "--neg_strategy", "recent_popularity"]
    if not (folder / "shop").exists():
        log = str(folder / "log")
        _run("simulate", "--output", log, "--days", "4", "--sessions_per_day", "2000", "--items", "2000")
        recipe = ["--recipe", str(ROOT / "datasets" / "ecommerce-large" / "preprocessing.yaml")]
        _run("preprocess", "--input", log, "--output", str(folder / "shop"), *negatives, *recipe)
    data_sets = [SHOP]
    if eshop is None or not eshop.exists():
        sys.stdout.write(f"eshop2008 is left out: {eshop or 'no --eshop'} is no file (datasets/eshop2008/README.md)\n")
    else:
        if not (folder / "eshop2008").exists():
            words = ["--start_date", ESHOP_FIRST_DAY, *negatives, "--recipe", "eshop2008"]
            _run("preprocess", "--input", str(eshop), "--output", str(folder / "eshop2008"), *words)
        data_sets.append(ESHOP)
    for data in data_sets:
        write_feature_configs(folder / data.name)
    return data_sets


def write_feature_configs(folder: Path) -> None:
    """Write features_all.yaml, the same as features.yaml, and features_item.yaml: the item, its past and negatives."""
    entries = yaml.safe_load((folder / "features.yaml").read_text(encoding="utf-8"))
    (item,) = (name for name, entry in entries.items() if entry.get("is_label"))
    of_item = {name: entries[name] for name in (item, f"bef_{item}", f"_neg_{item}") if name in entries}
    for name, chosen in (("all", entries), ("item", of_item)):
        (folder / f"features_{name}.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")


def _run(*words: str) -> None:
    if cli.main(list(words)):
        raise SystemExit(f"{words[0]} did not work, see above")


@contextmanager
def metered() -> Iterator[dict[str, float]]:
    """Count events and processor seconds of all training inside."""
    used = {"events": 0.0, "seconds": 0.0}
    plain_train, plain_loss = RecSysTrainer.train, RecSysTrainer.compute_loss

    def train(trainer: RecSysTrainer, *words: Any, **named: Any) -> Any:
        start = time.process_time()
        output = plain_train(trainer, *words, **named)
        used["seconds"] += time.process_time() - start
        return output

    def compute_loss(trainer: RecSysTrainer, model: Any, inputs: Any, *words: Any, **named: Any) -> Any:
        used["events"] += len(inputs["batch"].columns[trainer.schema.item_id.name].values)
        return plain_loss(trainer, model, inputs, *words, **named)

    with patch.object(RecSysTrainer, "train", train), patch.object(RecSysTrainer, "compute_loss", compute_loss):
        yield used


def measure(combination: Combination, data_sets: list[DataSet], folder: Path) -> dict[str, Any]:
    """Run one combination on all data sets; give its line of the table, whatever happens."""
    row: dict[str, Any] = dict(zip(COLUMNS, combination.key, strict=False))
    start = time.process_time()
    messages = StringIO()
    try:
        for data in data_sets[: 1 if combination.only_shop else None]:
            with redirect_stderr(messages), redirect_stdout(messages), metered() as used:
                exit_code = cli.main(["train", *train_flags(combination, data, folder)])
            if exit_code:
                row["remark"] = "refused: " + messages.getvalue().rpartition("error: ")[2].strip()
                break
            row |= numbers_of(folder / f"results_{os.getpid()}", data)
            row[f"{data.name}_events_per_s"] = round(used["events"] / used["seconds"])
    except Exception as error:
        row["remark"] = f"failed: {type(error).__name__}: {error}"
        traceback.print_exc()
    return row | {"seconds": round(time.process_time() - start, 1)}


def numbers_of(results: Path, data: DataSet) -> dict[str, float]:
    """Average the metrics of the last days."""
    with (results / "eval_train_results_dates.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["eval_ndcg@10"]][-data.days_reported :]
    names = {
        "ndcg@10": "eval_ndcg@10",
        "recall@20": "eval_recall@20",
        "popular_ndcg@10": "eval_most_popular_ndcg@10",
    }
    return {
        f"{data.name}_{short}": round(sum(float(row[name]) for row in rows) / len(rows), 4)
        for short, name in names.items()
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read the lines there are."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a line, below a header if it is the first."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def missing_of(rows: list[dict[str, str]], listed: list[Combination], data_sets: list[DataSet]) -> list[Combination]:
    """Give what is not in the table yet, or lacks a data set, or failed."""
    done = {
        tuple(row[name] for name in COLUMNS[:5])
        for row in rows
        if row["remark"].startswith("refused")
        or all(row[f"{data.name}_ndcg@10"] or "--session_aware" in row["inputs"] for data in data_sets)
    }
    return [each for each in listed if each.key not in done]


def run_all(todo: list[Combination], data_sets: list[DataSet], folder: Path, processes: int, table: Path) -> None:
    """Share the combinations out among processes; write a line of the table as soon as one is done."""
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures: list[Future[dict[str, Any]]] = [pool.submit(measure, each, data_sets, folder) for each in todo]
        for number, future in enumerate(as_completed(futures), start=1):
            row = future.result()
            append(table, row)
            told = row.get("remark") or " ".join(f"{name}={row[name]}" for name in COLUMNS[5:] if name in row)
            sys.stdout.write(f"{number}/{len(todo)} {' '.join(row[name] for name in COLUMNS[1:5])}: {told}\n")
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--eshop", type=Path, default=ROOT / "datasets" / "eshop2008" / "events.parquet")
    parser.add_argument("--folder", type=Path, default=ROOT / "tmp" / "zoo", help="day files and results")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the table, the page and the picture are")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="run those alone whose line contains this")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    options.folder.mkdir(parents=True, exist_ok=True)
    data_sets = write_data(options.folder, options.eshop)
    listed = combinations()
    chosen = [each for each in listed if options.only in " ".join(each.key)]
    table = options.docs / CSV
    run_all(missing_of(rows_of(table), chosen, data_sets), data_sets, options.folder, options.processes, table)
    order = {each.key: number for number, each in enumerate(listed)}
    by_key = {tuple(row[name] for name in COLUMNS[:5]): row for row in rows_of(table)}
    rows = [by_key[key] for key in sorted(by_key.keys() & order.keys(), key=order.__getitem__)]
    write_page(options.docs / PAGE, rows, epochs={data.name: data.epochs for data in (SHOP, ESHOP)})
    write_plot(options.docs / PLOT, rows)


if __name__ == "__main__":
    main()
