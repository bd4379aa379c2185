"""Kills training runs at chosen places, goes on with each, and compares the outcome with a run that was never killed.

Called with a JSON file: `flags` of the train command without `output_dir`, `num_processes`, and `kills`, a list of
[what, number]: before the number-th `file` operation or after the number-th `step`, counted in the first process from
when the run begins. Prints a JSON list: [what, number, whether the run was killed, whether the outcome is equal]. All
runs are forked from here, so that the libraries are imported once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path

import safetensors.torch
import torch

from transformers4recsys import cli
from transformers4recsys.training.inside_day import StopRequest

KILLED = 9
FILE_OPERATIONS = ("replace", "fsync", "unlink", "mkdir", "rmdir")
Kill = tuple[str, int]


def die_before(kill: Kill, what: str, owner: object, names: tuple[str, ...]) -> None:
    """Count the calls of some functions, and end this process as SIGKILL would, before one of them."""
    left = iter(range(kill[1]))

    def counted(call):
        def limited(*arguments, **options):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return limited

    if kill[0] == what:
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))


def run_in_child(line: list[str], environment: dict[str, str], kill: Kill | None) -> int:
    """Start one process of a command; give its id."""
    if child := os.fork():
        return child
    os.environ.update(environment)
    os.dup2(os.open("console.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    if kill and environment.get("RANK", "0") == "0":
        die_before(kill, "file", os, FILE_OPERATIONS)
        die_before(kill, "step", StopRequest, ("on_step_end",))
    code = 1
    try:
        code = cli.main(line)
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def run(line: list[str], num_processes: int, kill: Kill | None = None) -> int:
    """Run to the end or to the kill; give the first exit code that is not 0, as a shell would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(num_processes):
        environment = {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            **{"WORLD_SIZE": str(num_processes), "LOCAL_WORLD_SIZE": str(num_processes)},
        }
        children.append(run_in_child(line, environment if num_processes > 1 else {}, kill))
    code = 0
    while children:
        child, status = os.wait()
        children.remove(child)
        ended = os.waitstatus_to_exitcode(status)
        if ended and not code:
            code = ended
            for other in children:
                os.kill(other, signal.SIGKILL)
    return code


def outcome(folder: Path) -> dict[str, object]:
    """Give all that two equal runs have in common, to the bit."""
    tensors = {}
    for name in ("model.safetensors", "training_state.safetensors"):
        tensors |= safetensors.torch.load_file(folder / name)
    steps = json.loads((folder / "trainer_state.json").read_text())["global_step"]
    return tensors | {"csv": (folder / "eval_train_results_dates.csv").read_text(), "steps": steps}


def are_equal(first: dict[str, object], second: dict[str, object]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    )


def try_kill(flags: list[str], num_processes: int, kill: Kill, expected: dict[str, object]) -> tuple[bool, bool]:
    folder = Path("killed")
    shutil.rmtree(folder, ignore_errors=True)
    code = run([*flags, "--output_dir", str(folder)], num_processes, kill)
    was_killed = code == -KILLED
    if was_killed:
        again = [*flags, "--output_dir", str(folder)]
        if run([*again, "--resume_from_checkpoint", "true"], num_processes):
            # Nothing was saved yet.
            assert not list(folder.rglob("manifest.json")), "there was something to go on from"
            run([*again, "--overwrite_output_dir"], num_processes)
    return was_killed, are_equal(outcome(folder), expected)


def main(path: str) -> None:
    asked = json.loads(Path(path).read_text())
    flags, num_processes = ["train", *asked["flags"]], asked["num_processes"]
    assert run([*flags, "--output_dir", "whole"], num_processes) == 0, Path("console.txt").read_text()
    expected = outcome(Path("whole"))
    results = []
    for kill in map(tuple, asked["kills"]):
        results.append([*kill, *try_kill(flags, num_processes, kill, expected)])
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
