"""Measure all that a GPU is for, within eight minutes: python benchmarks/gpu.py [--device cpu --small].

Needs the installed packages and one GPU, no network. A JSON line a part, as soon as it is done: the rate of square
products; the documented command with --fp16 over 390,000 items on a day of REES46's size (October 2019: some 290,000
sessions a day); a step of ours beside a plain one, padded and with all scores held; the share of the rate that the
output layer reaches, in chunks and, with the extra `gpu`, fused; the largest batch; recommending and serving; NCCL with
one process; the tests marked gpu. A part that fails says why, one for which no time is left is skipped, and the next
one goes on; if any failed, the last line names them and the exit code is 1. With `--device cpu --small` every part runs
in small on the CPU, where its numbers say nothing.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from serving import ask, percentiles, server
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from transformers import GPT2Config, GPT2Model

from transformers4recsys.benchmarking.measure import SetUp, matrix_rate, measure
from transformers4recsys.benchmarking.workload import write_sessions
from transformers4recsys.model.objectives import chunked, fused
from transformers4recsys.recommender import Recommender

ROOT = Path(__file__).parents[1]
MAIN, SECONDS = ROOT / "codes" / "recsys_main.py", 8 * 60


@dataclass(frozen=True)
class Sizes:
    """What is measured: as the documented command has it, or in small."""

    num_items: int = 390_000
    sessions_of_day: int = 290_000
    batch_size: int = 320
    d_model: int = 256
    n_head: int = 8
    num_steps: int = 50
    largest_batch: int = 2**17
    square: int = 8_192
    seconds_of_load: float = 10


SMALL = Sizes(500, 600, 32, 32, 2, 3, 64, 256, 1)


def products(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    rates = {kind: matrix_rate(kind, device, sizes.square) / 1e12 for kind in ("fp32", "bf16", "fp16")}
    return {f"{kind}_tflops": round(rate, 3) for kind, rate in rates.items()}


def documented_command(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    """Train on one day, evaluate on a tenth of the next; what follows reads the run."""
    flags = f"""--do_train --do_eval --data_path {folder} --feature_config {folder}/features.yaml
        --output_dir {folder}/run --start_date 2019-10-01 --end_date 2019-10-02 --overwrite_output_dir --save_steps 0
        --model_type gpt2 --loss_type cross_entropy --d_model {sizes.d_model} --n_layer 2 --n_head {sizes.n_head}
        --dropout 0.1 --learning_rate 0.001 --weight_decay 1.3e-05 --inp_merge mlp --tf_out_activation tanh
        --per_device_train_batch_size {sizes.batch_size} --per_device_eval_batch_size 512 --num_train_epochs 1
        --hidden_act gelu_new --session_seq_length_max 20 --dataloader_drop_last --eval_on_last_item_seq_only
        --logging_steps 10 --report_to none --fp16"""
    start = time.perf_counter()
    run_quietly([sys.executable, str(MAIN), *flags.split()])
    whole = time.perf_counter() - start
    log = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    (seconds,) = [entry["train_runtime"] for entry in log if "train_runtime" in entry]
    numbers = {"training_s": round(seconds, 1), "whole_command_s": round(whole, 1)}
    return numbers | {"training_sessions_per_s": round(sizes.sessions_of_day / seconds)}


def step_beside_plain(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    precision = "bf16"
    set_up = SetUp(
        workload=str(day_file(folder, "2019-10-01-train")),
        d_model=sizes.d_model,
        n_head=sizes.n_head,
        batch_size=sizes.batch_size,
        num_steps=sizes.num_steps,
        precision=precision,
        device=device,
        repeats=1,
        threads=torch.get_num_threads(),
    )
    ours = measure(set_up)
    plain = plain_sessions_per_s(sizes, device, folder)
    names = ("train_sessions_per_s", "eval_sessions_per_s", "step_ms", "peak_memory_mb", "share_of_matrix_rate")
    numbers = {name: float(f"{ours[name]:.4g}") for name in names}
    ratio = round(ours["train_sessions_per_s"] / plain, 2)
    return {"precision": precision, **numbers, "plain_sessions_per_s": round(plain), "x_plain": ratio}


class PlainModel(nn.Module):
    """GPT-2 of the library over padded sessions, and all scores at the targets."""

    def __init__(self, sizes: Sizes, num_items: int):
        super().__init__()
        width = sizes.d_model
        self.items = nn.Embedding(num_items + 1, width, padding_idx=0)
        self.merge = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.LayerNorm(width), nn.Tanh())
        config = GPT2Config(vocab_size=1, n_embd=width, n_layer=2, n_head=sizes.n_head, n_positions=20, use_cache=False)
        self.encoder, self.output = GPT2Model(config), nn.Linear(width, num_items + 1)

    def forward(self, items_BL: Tensor) -> Tensor:
        next_BL = nn.functional.pad(items_BL[:, 1:], (0, 1))
        hidden_BLD = self.encoder(inputs_embeds=self.merge(self.items(items_BL))).last_hidden_state
        return cross_entropy(self.output(hidden_BLD[next_BL != 0]).float(), next_BL[next_BL != 0])


def plain_sessions_per_s(sizes: Sizes, device: str, folder: Path) -> float:
    lists = pq.read_table(day_file(folder, "2019-10-01-train"), columns=["items"])["items"].to_pylist()
    model = PlainModel(sizes, max(map(max, lists))).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = [time.perf_counter()]
    for step in range(sizes.num_steps + 5):
        rows = [lists[(step * sizes.batch_size + place) % len(lists)] for place in range(sizes.batch_size)]
        padded = torch.tensor(np.array([row + [0] * (20 - len(row)) for row in rows])).to(device)
        with torch.autocast(device, torch.bfloat16):
            loss = model(padded)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        finish(device)
        times.append(time.perf_counter())
    return sizes.batch_size / float(np.median(np.diff(times)[5:]))


def output_layer(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    """Loss and gradients of a step's targets: three products of the whole catalogue."""
    targets = sizes.batch_size * 4
    hidden = torch.randn(targets, sizes.d_model, device=device, requires_grad=True)
    table = (torch.randn(sizes.num_items, sizes.d_model, device=device) * 0.05).requires_grad_()
    bias = torch.zeros(sizes.num_items, device=device)
    labels = torch.randint(1, sizes.num_items, (targets,), device=device)

    def plain(*given: Tensor) -> Tensor:
        return cross_entropy(linear(given[0], given[1], given[2]).float(), given[3])

    losses = {"chunked": chunked.cross_entropy, "plain": plain}
    if fused.runs_on(torch.device(device)):
        losses["fused"] = fused.cross_entropy
    flops = 6 * targets * sizes.d_model * sizes.num_items
    numbers: dict[str, Any] = {"targets": targets}
    for kind, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        rate = matrix_rate(kind, device, sizes.square)
        for name, loss in losses.items():
            seconds = min(timed_loss(loss, (hidden, table, bias, labels), device, dtype) for _ in range(5))
            numbers |= {f"{name}_{kind}_ms": round(1000 * seconds, 2)}
            numbers |= {f"{name}_{kind}_share_of_rate": round(flops / seconds / rate, 3)}
    return numbers


def timed_loss(loss: Callable[..., Tensor], given: tuple[Tensor, ...], device: str, dtype: torch.dtype) -> float:
    finish(device)
    start = time.perf_counter()
    with torch.autocast(device, dtype):
        value = loss(*given)
    value.backward()
    finish(device)
    for tensor in given:
        tensor.grad = None
    return time.perf_counter() - start


def largest_batch(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    """Take batches four times as large until memory is full, or the largest is reached that is tried."""
    largest, batch_size, reason = 0, sizes.batch_size, "the largest that is tried"
    workload = str(day_file(folder, "2019-10-01-train"))
    while batch_size <= sizes.largest_batch:
        set_up = SetUp(workload=workload, d_model=sizes.d_model, n_head=sizes.n_head, batch_size=batch_size)
        try:
            measure(replace(set_up, num_steps=2, num_warmup_steps=2, precision="bf16", device=device, repeats=1))
        except torch.OutOfMemoryError:
            reason = "memory"
            break
        largest, batch_size = batch_size, batch_size * 4
    return {"sessions_a_step": largest, "what_ended_it": reason}


def recommending(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    recommender = Recommender.load(folder / "run", device=device)
    sessions = some_sessions(folder, 20_000 if sizes != SMALL else 100)
    recommender.recommend(sessions[:100], k=20)
    start = time.perf_counter()
    recommender.recommend(sessions, k=20)
    return {"sessions_per_s": round(len(sessions) / (time.perf_counter() - start))}


def serving(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    sessions, clients = some_sessions(folder, 100), 32
    with server(folder / "run") as (_, port):
        asyncio.run(ask(sessions, port, clients=clients, seconds=1))
        times, failed = asyncio.run(ask(sessions, port, clients=clients, seconds=sizes.seconds_of_load))
    rate = round(len(times) / sizes.seconds_of_load)
    return {"clients": clients, "requests_per_s": rate, **percentiles(times), "failed": failed}


def one_process_group(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    """All-reduce a million numbers in a group of one, by NCCL on a GPU."""
    backend = "nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
    numbers = torch.ones(1_000_000, device=device)
    torch.distributed.all_reduce(numbers)
    total = int(numbers.sum())
    model = nn.parallel.DistributedDataParallel(nn.Linear(8, 8).to(device))
    model(torch.ones(2, 8, device=device)).sum().backward()
    torch.distributed.destroy_process_group()
    return {"backend": backend, "sum": total}


def marked_tests(sizes: Sizes, device: str, folder: Path) -> dict[str, Any]:
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    line = [sys.executable, "-m", "pytest", "-rs", "-m", "gpu", "-p", "no:cacheprovider", *files]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", result.stdout)
    reasons = re.findall(r"SKIPPED .*: (.*)", result.stdout)
    numbers: dict[str, Any] = {"tests": counts, "skipped_because": sorted(set(reasons))}
    if result.returncode:
        numbers["failed"] = why(result)
    return numbers


PARTS: dict[str, Callable[[Sizes, str, Path], dict[str, Any]]] = {
    "products": products,
    "documented_command": documented_command,
    "step_beside_plain": step_beside_plain,
    "output_layer": output_layer,
    "recommending": recommending,
    "serving": serving,
    "one_process_group": one_process_group,
    "marked_tests": marked_tests,
    "largest_batch": largest_batch,
}


def finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def run_quietly(line: list[str]) -> None:
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(why(result))


def why(result: subprocess.CompletedProcess[str]) -> str:
    last = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
    return f"exit code {result.returncode}: {last}"


def day_file(folder: Path, name: str) -> Path:
    return folder / f"session_start_date={name}.parquet"


def some_sessions(folder: Path, number: int) -> list[list[int]]:
    return pq.read_table(day_file(folder, "2019-10-02-valid"), columns=["items"])["items"].slice(0, number).to_pylist()


def write_days(sizes: Sizes, folder: Path) -> None:
    given = {"num_items": sizes.num_items, "length": 5.5, "longest": 20}
    write_sessions(day_file(folder, "2019-10-01-train"), num_sessions=sizes.sessions_of_day, seed=7, **given)
    write_sessions(day_file(folder, "2019-10-02-valid"), num_sessions=sizes.sessions_of_day // 10, seed=8, **given)
    entry = f"items: {{dtype: categorical, cardinality: {sizes.num_items + 1}, is_label: true}}\n"
    (folder / "features.yaml").write_text(entry)


def run_part(name: str, given: argparse.Namespace, folder: Path, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own: its memory is its own, and it ends when its time is up."""
    if seconds < 1:
        return {"skipped": "no time is left"}
    line = [sys.executable, __file__, "--device", given.device, "--part", name, "--folder", str(folder)]
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if given.device == "cpu" else {})
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "codes"), os.environ.get("PYTHONPATH")]))
    line += ["--small"] * given.small
    pipe = subprocess.PIPE
    process = subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # With all that the part has started.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"failed": f"not done after {seconds:.0f} s"}
    if process.returncode:
        return {"failed": (errors.strip() or "no output").splitlines()[-1]}
    return json.loads(output.strip().splitlines()[-1])


def show(**numbers: object) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that a CPU gets through")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of all parts together")
    parser.add_argument("--part", choices=PARTS, help="run this one alone, in this process")
    parser.add_argument("--folder", type=Path, help="with --part: where the made-up days are")
    given = parser.parse_args()
    sizes = SMALL if given.small else Sizes()
    if given.part:
        show(**PARTS[given.part](sizes, given.device, given.folder))
        return
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA GPU is at hand; try the parts in small with --device cpu --small")
    start, failed = time.perf_counter(), list[str]()
    with tempfile.TemporaryDirectory() as name:
        write_days(sizes, Path(name))
        for part in PARTS:
            began = time.perf_counter()
            # One that hangs leaves time for the others.
            seconds = min(start + given.seconds - began, given.seconds / 3)
            numbers = run_part(part, given, Path(name), seconds)
            show(part=part, **numbers, seconds=round(time.perf_counter() - began, 1))
            # What went wrong, or how many requests did.
            if numbers.get("failed"):
                failed.append(part)
    card = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    show(device=card, torch=torch.__version__, seconds=round(time.perf_counter() - start))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; their lines say why")


if __name__ == "__main__":
    main()
