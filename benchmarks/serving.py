"""Measure the server under load on this machine: python benchmarks/serving.py [--minutes 2].

A run over 10,000 items is trained first (GPT-2, 2 layers, width 64, on made-up sessions). The server and the clients,
which send one session each and wait for its 10 best items, share the cores. A JSON line for each backend, with batches
and without: requests a second, milliseconds of the median and of the 99th percentile, and processor milliseconds of
the server and of all clients for each request; and the same for the Recommender called directly, one session and 64 at
a time. With --minutes, load with a new day every 20 s instead: failed requests, and the memory of the server over time.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from transformers4recsys.benchmarking.workload import write_sessions
from transformers4recsys.recommender import Recommender

NUM_ITEMS, NUM_SESSIONS = 10_000, 4_000
# Seconds: between two days, and of load that is not counted.
RELOAD_EVERY, WARM_UP = 20, 2.0
HEAD = b"POST /recommend HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MAIN = ("-m", "transformers4recsys")


def train(folder: Path) -> Path:
    day = folder / "session_start_date=2026-01-01-train.parquet"
    write_sessions(day, num_items=NUM_ITEMS, num_sessions=NUM_SESSIONS, length=5.5, longest=20, seed=7)
    pq.write_table(pq.read_table(day).slice(0, 64), folder / "session_start_date=2026-01-02-valid.parquet")
    entry = f"items: {{dtype: categorical, cardinality: {NUM_ITEMS + 1}, is_label: true}}\n"
    (folder / "features.yaml").write_text(entry)
    flags = f"""--do_train --data_path {folder} --feature_config {folder}/features.yaml --output_dir {folder}/run
        --start_date 2026-01-01 --end_date 2026-01-02 --d_model 64 --n_layer 2 --n_head 4 --learning_rate 0.001
        --num_train_epochs 1 --per_device_train_batch_size 256 --use_cpu --report_to none --save_steps 0"""
    subprocess.run([sys.executable, *MAIN, "train", *flags.split()], check=True)
    return folder / "run"


def sessions_of(folder: Path) -> list[list[int]]:
    table = pq.read_table(folder / "session_start_date=2026-01-01-train.parquet", columns=["items"])
    return table.column("items").slice(0, 1_000).to_pylist()


class Server(NamedTuple):
    """A process that answers at a port of this machine."""

    pid: int
    port: int


@contextmanager
def server(run: Path, *flags: str) -> Iterator[Server]:
    """Start the server at a free port; it has to end by itself when it is asked to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, *MAIN, "serve", "--run", str(run), "--port", str(port), *flags]
    process = subprocess.Popen(line)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1).read()
                break
            except OSError:
                assert process.poll() is None, "the server did not start"
                time.sleep(0.2)
        yield Server(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


async def ask(sessions: list[list[int]], port: int, *, clients: int, seconds: float) -> tuple[list[float], int]:
    """Let clients ask one request after the other on a connection each; give the seconds of each, and how many fail."""
    end, times, failed = time.perf_counter() + seconds, [], 0

    async def client(first: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while time.perf_counter() < end:
            body = json.dumps({"sessions": [sessions[number % len(sessions)]], "k": 10}).encode()
            number += clients
            start = time.perf_counter()
            writer.write(HEAD % len(body) + body)
            status = await reader.readline()
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            times.append(time.perf_counter() - start)
            failed += b" 200 " not in status
        writer.close()

    outcomes = await asyncio.gather(*map(client, range(clients)), return_exceptions=True)
    return times, failed + sum(isinstance(each, BaseException) for each in outcomes)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> int:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def measure_load(run: Path, sessions: list[list[int]], backend: str, max_batch: int, given: argparse.Namespace) -> None:
    flags = ("--backend", backend, "--max_batch", str(max_batch), "--threads", str(given.threads))
    with server(run, *flags) as (pid, port):
        asyncio.run(ask(sessions, port, clients=given.clients, seconds=WARM_UP))
        before, own = processor_seconds(pid), time.process_time()
        times, failed = asyncio.run(ask(sessions, port, clients=given.clients, seconds=given.seconds))
        used, own = processor_seconds(pid) - before, time.process_time() - own
    show(
        backend=backend,
        max_batch=max_batch,
        clients=given.clients,
        requests_a_second=round(len(times) / given.seconds),
        **percentiles(times),
        server_processor_ms=round(1000 * used / len(times), 2),
        clients_processor_ms=round(1000 * own / len(times), 2),
        failed=failed,
    )


def measure_directly(run: Path, sessions: list[list[int]], seconds: float) -> None:
    recommender = Recommender.load(run, device="cpu")
    for size in (1, 64):
        times, end, number = [], time.perf_counter() + seconds, 0
        processor = time.process_time()
        while time.perf_counter() < end:
            start = time.perf_counter()
            recommender.recommend([sessions[(number + each) % len(sessions)] for each in range(size)], 10)
            times.append(time.perf_counter() - start)
            number += size
        used = time.process_time() - processor
        numbers = {"sessions_a_second": round(number / sum(times)), "processor_ms": round(1000 * used / number, 2)}
        show(directly=f"{size} at a time", **numbers, **percentiles(times))


def measure_reloads(run: Path, sessions: list[list[int]], given: argparse.Namespace) -> None:
    """Put the manifest in place anew, as the end of a day does, while clients ask."""
    manifest, memory = run / "manifest.json", []

    async def reload(pid: int, seconds: float) -> None:
        for _ in range(int(seconds // RELOAD_EVERY)):
            await asyncio.sleep(RELOAD_EVERY)
            memory.append(memory_mb(pid))
            shutil.copy(manifest, run / "next")
            os.replace(run / "next", manifest)

    async def both(pid: int, port: int) -> tuple[list[float], int]:
        seconds = given.minutes * 60
        asking = ask(sessions, port, clients=given.clients, seconds=seconds)
        answers, _ = await asyncio.gather(asking, reload(pid, seconds))
        return answers

    with server(run, "--reload_seconds", "1", "--threads", str(given.threads)) as (pid, port):
        asyncio.run(ask(sessions, port, clients=given.clients, seconds=WARM_UP))
        times, failed = asyncio.run(both(pid, port))
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    reloads = next(line for line in page.splitlines() if line.startswith("transformers4recsys_reloads_total"))
    rate = round(len(times) / given.minutes / 60)
    show(requests=len(times), failed=failed, reloads=int(float(reloads.split()[1])), memory_mb=memory, a_second=rate)
    show(**percentiles(times))


def percentiles(times: list[float]) -> dict[str, float]:
    return {f"p{each}_ms": round(1000 * float(np.percentile(times, each)), 1) for each in (50, 99)}


def show(**numbers: object) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument("--backends", nargs="+", default=["torch", "onnx"])
    parser.add_argument("--max_batch", nargs="+", type=int, default=[64, 1])
    parser.add_argument("--minutes", type=float, help="load with reloads for so long")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, sessions = train(folder), sessions_of(folder)
        if given.minutes:
            measure_reloads(run, sessions, given)
            return
        for backend in given.backends:
            for max_batch in given.max_batch:
                measure_load(run, sessions, backend, max_batch, given)
        measure_directly(run, sessions, given.seconds / 2)


if __name__ == "__main__":
    main()
