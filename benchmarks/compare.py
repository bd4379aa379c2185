"""All baselines, and models, on several logs: one table with intervals each; and how fast each baseline is.

    python benchmarks/compare.py --logs FOLDER --output compared                    # baselines on all logs
    python benchmarks/compare.py --logs FOLDER --output compared --models shop      # and models on the shop
    python benchmarks/compare.py --logs FOLDER --output compared --runs eshop2008=results
    python benchmarks/compare.py --speed --items 10000 100000 --sessions 1000000

FOLDER holds the logs that are not simulated, such as `eshop2008/events.parquet`. Day files and runs of a log are made
once under `--output`, and the tables are made of what is there: a call that was stopped goes on. `--runs LOG=FOLDER`
adds the finished run of another call. Models have the settings that `preprocess` chose for the log, with an encoder
each, and what `Log.models` says. Of each run the last item of a session is predicted (of Diginetica, each item of the
test sessions); what a run has more than `rules` is paired by session, as `report` does.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from transformers4recsys import cli
from transformers4recsys.baselines import BASELINES, BaselineSettings
from transformers4recsys.baselines.sessions import Sessions, prefixes
from transformers4recsys.benchmarking.workload import write_sessions

Flags = Mapping[str, object]
METRICS = ("ndcg@20", "recall@20", "mrr@20")
FIRST = "rules"
SHARED: Flags = {
    **{"do_train": True, "do_eval": True, "eval_on_last_item_seq_only": True, "per_device_eval_batch_size": 512},
    **{"log_predictions": True, "eval_steps_on_train_set": 0, "save_steps": 0, "report_to": "none", "use_cpu": True},
}
MODELS: Mapping[str, Flags] = {
    **{name: {} for name in ("sasrec", "gpt2", "gru")},
    "core": {"inp_merge": "none", "score": "cosine", "temperature": 0.07},
}

# VSTAN as Ludewig 2021 chose it for this log by the hit rate.
OF_THE_AUTHORS: Flags = {
    **{"model_type": "vstan", "vstan_neighbours": 100, "vstan_sample_size": 1000, "vstan_lambda_spw": 4.9},
    **{"vstan_lambda_snh": 80, "vstan_lambda_inh": 9.8, "vstan_lambda_ipw": 4.9},
}


@dataclass(frozen=True)
class Log:
    """How a log becomes day files, and how its runs differ from those of other logs."""

    preprocess: Flags
    train: Flags
    simulate: Flags = field(default_factory=dict[str, object])
    models: Flags = field(default_factory=dict[str, object])
    baselines: Mapping[str, Flags] = field(default_factory=lambda: {name: {"model_type": name} for name in BASELINES})


LOGS = {
    "eshop2008": Log({"recipe": "eshop2008"}, {"start_date": "2008-04-01", "end_date": "2008-06-30"}),
    "shop": Log(
        {
            **{"item_column": "product_id", "time_column": "event_time", "session_column": "user_session"},
            **{"category_column": "category_id", "price_column": "price"},
        },
        {"start_date": "2019-10-01", "end_date": "2019-10-14"},
        simulate={"days": 14, "sessions_per_day": 3000, "items": 2000},
    ),
    "diginetica": Log(
        {
            **{"item_column": "item_id", "session_column": "session_id", "order_column": "position"},
            **{"split": "given", "split_column": "split", "drop_repeats": "none"},
            # No test session is longer: each prefix is told by its length, so that runs are paired by session.
            "session_length_max": 100,
        },
        {
            **{"start_date": "2000-01-01", "end_date": "2000-01-02", "eval_on_test_set": True},
            "session_seq_length_max": 100,
        },
        # All items and as many epochs as help take hours on one core.
        models={"loss_type": "sampled_softmax", "num_sampled_negatives": 1000, "num_train_epochs": 2, "bf16": True},
        baselines={name: {"model_type": name} for name in BASELINES} | {"vstan as its authors set it": OF_THE_AUTHORS},
    ),
    "deskdrop": Log(
        {"recipe": "deskdrop", "start_date": "2016-03-28"},
        {"start_date": "2016-03-28", "end_date": "2016-09-30", "missing_days": "skip"},
        baselines={name: {"model_type": name} for name in BASELINES}
        | {"popular of the last day": {"model_type": "popular", "popular_last_days": 1}},
    ),
}


def run(command: str, flags: Flags, files: Sequence[Path] = ()) -> None:
    """Run a command with these flags, after those of files."""
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    if code := cli.main([command, *map(str, files), *words]):
        sys.exit(code)


def day_files(log: Log, events: Path, folder: Path) -> Path:
    """Make the day files of a log, if they are not there yet."""
    days = folder / "days"
    if not days.exists():
        if log.simulate:
            events = folder / "log"
            run("simulate", {"output": events, **log.simulate})
        run("preprocess", {"input": events, "output": days, **log.preprocess})
    return days


def trained(output: Path, days: Path, flags: Flags) -> Path:
    """Train and evaluate a run, if it is not there yet; say how many processor seconds it took."""
    if not (output / "eval_results_avg_over_days.txt").exists():
        start = time.process_time()
        place = {"output_dir": output, "overwrite_output_dir": True}
        run("train", {**SHARED, **flags, **place}, [days / "train.yaml"])
        (output / "seconds.txt").write_text(f"{time.process_time() - start:.0f}\n")
    return output


def table(runs: Mapping[str, Path], output: Path) -> str:
    """Compare runs with the first of them, and give means, differences in the first metric and their intervals."""
    first, *others = runs.values()
    run_report = ["report", *map(str, (first, *others)), "--output", str(output), "--metrics", *METRICS]
    if code := cli.main(run_report):
        sys.exit(code)
    with output.with_suffix(".csv").open() as file:
        means = {
            (row["run"], row["metric"]): float(row["value"]) for row in csv.DictReader(file) if row["day"] == "mean"
        }
    with output.with_name(f"{output.stem}_differences.csv").open() as file:
        differences = {row["run"]: row for row in csv.DictReader(file) if row["metric"] == METRICS[0]}
    heads = ["", *METRICS, f"{METRICS[0]} less {FIRST}", "95 %, days", "95 %, sessions", "CPU s"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, folder in runs.items():
        cells = [f"{means[folder.name, metric]:.4f}" for metric in METRICS]
        found = differences.get(folder.name)
        cells += [
            f"{float(found['mean']):+.4f}" if found else "",
            *(_interval(found, of) for of in ("days", "sessions")),
        ]
        seconds = folder / "seconds.txt"
        lines.append("| " + " | ".join([name, *cells, seconds.read_text().strip() if seconds.exists() else ""]) + " |")
    return "\n".join(lines)


def _interval(found: Mapping[str, str] | None, of: str) -> str:
    ends = [found[f"over_{of}_{end}"] for end in ("low", "high")] if found else [""]
    return " to ".join(f"{float(end):+.4f}" for end in ends) if all(ends) else ""


def compare(arguments: argparse.Namespace) -> None:
    """Make the tables of all logs that were asked for."""
    added = [text.partition("=")[::2] for text in arguments.runs]
    for name in arguments.only:
        log, folder = LOGS[name], arguments.output / name
        days = day_files(log, arguments.logs / name / "events.parquet", folder)
        models = {of: {"model_type": of, **own, **log.models} for of, own in MODELS.items() if name in arguments.models}
        asked = {**log.baselines, **models}
        asked = {FIRST: asked[FIRST], **asked}
        runs = {of: trained(folder / of.replace(" ", "_"), days, {**log.train, **flags}) for of, flags in asked.items()}
        runs |= {Path(path).name: Path(path) for of_log, path in added if of_log == name}
        sys.stdout.write(f"\n### {name}\n\n{table(runs, folder / 'report.html')}\n")


def speed(name: str, num_items: int, num_sessions: int, folder: Path) -> None:
    """Let a baseline learn sessions, then score what follows each item of some others; print a row."""
    path = folder / f"{num_items}-{num_sessions}.parquet"
    if not path.exists():
        write_sessions(path, num_items=num_items, num_sessions=num_sessions, length=5, longest=20, seed=0)
    column = pq.read_table(path, columns=["items"])["items"].combine_chunks()
    learned = Sessions(column.values.to_numpy(), column.offsets.to_numpy().astype(np.int64))
    baseline, before = BaselineSettings().make(name), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    for day, place in enumerate(range(0, num_sessions, max(num_sessions // 30, 1))):
        baseline.learn(learned.some(place, min(place + max(num_sessions // 30, 1), num_sessions)), day)
    baseline.scores(learned.some(0, 1))
    to_learn = time.process_time() - start
    asked = learned.some(num_sessions // 2, num_sessions // 2 + 2_000)
    lengths = np.diff(asked.offsets)
    row_P = np.repeat(np.arange(len(asked)), lengths)
    position_P = np.arange(len(row_P)) - asked.offsets[row_P] + 1
    start, num_scored = time.process_time(), 0
    for some in np.array_split(np.arange(len(row_P)), 8):
        places = (torch.tensor(each) for each in (asked.items, asked.offsets, row_P[some], position_P[some]))
        queries = prefixes(*places)
        baseline.scores(queries)
        num_scored += len(queries)
    to_score = time.process_time() - start
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    cells = [name, f"{num_items:,}", f"{num_sessions / to_learn:,.0f}", f"{num_scored / to_score:,.0f}", f"{more:,.0f}"]
    sys.stdout.write("| " + " | ".join(cells) + " |\n")


def speeds(arguments: argparse.Namespace) -> None:
    """Measure each baseline in a process of its own."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    sys.stdout.write("| | items | sessions learned a second | prefixes scored a second | MiB more at the peak |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    for num_items in arguments.items:
        for name in BASELINES:
            sys.stdout.flush()
            words = ["--speed_of", name, "--items", str(num_items), "--sessions", str(arguments.sessions)]
            subprocess.run([sys.executable, __file__, *words, "--output", str(arguments.output)], check=True)


def main() -> None:
    """Compare, or measure speed, as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=Path, default=Path(), help="where the logs are that are not simulated")
    parser.add_argument("--output", type=Path, default=Path("compared"))
    parser.add_argument("--only", nargs="+", choices=LOGS, default=list(LOGS), help="logs to compare on")
    parser.add_argument("--models", nargs="+", choices=LOGS, default=[], help="logs that models are trained on too")
    parser.add_argument("--runs", nargs="+", default=[], metavar="LOG=FOLDER", help="finished runs to add")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--items", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--speed_of", choices=BASELINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.speed_of:
        speed(arguments.speed_of, arguments.items[0], arguments.sessions, arguments.output)
    elif arguments.speed:
        speeds(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
