"""Kills updates of a run before some of their file operations, starts them again, and compares with one never killed.

Called with the flags of the command without `run`, in a folder that has the run in `start`, and before them either
`all` or how many of the last operations are tried. Prints a JSON list of the operations, counted from the end, after
which the outcome was another one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))
from kills import FILE_OPERATIONS, KILLED, are_equal, outcome, run

STEP = 23
NO_KILL = ("file", 10**6)


def updated(flags: list[str], kill: tuple[str, int]) -> int:
    return run(["update", "--run", "run", *flags], 1, kill)


def begin() -> None:
    shutil.rmtree("run", ignore_errors=True)
    shutil.copytree("start", "run")


def whole_outcome() -> dict[str, object]:
    folder = Path("run")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    vocabulary = (folder / "vocabulary" / "item_id.parquet").read_bytes()
    progress = (folder / "progress.json").read_text()
    return outcome(folder) | {"names": names, "vocabulary": vocabulary, "progress": progress}


def num_operations(flags: list[str]) -> int:
    """Count the file operations of a whole update, which is left in `run`."""
    begin()
    if child := os.fork():
        os.waitpid(child, 0)
        return int(Path("count.txt").read_text())
    count = 0

    def counting(call):
        def counted(*arguments, **options):
            nonlocal count
            count += 1
            return call(*arguments, **options)

        return counted

    for name in FILE_OPERATIONS:
        setattr(os, name, counting(getattr(os, name)))
    from transformers4recsys import cli

    os.dup2(os.open("console.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    cli.main(["update", "--run", "run", *flags])
    Path("count.txt").write_text(str(count))
    os._exit(0)


def main(which: str, flags: list[str]) -> None:
    total = num_operations(flags)
    expected = whole_outcome()
    tried = range(0, total, STEP) if which == "all" else range(total - int(which), total, STEP)
    different = []
    for number in tried:
        begin()
        assert updated(flags, ("file", number)) == -KILLED, f"operation {number} of {total} was not reached"
        if updated(flags, NO_KILL) or not are_equal(whole_outcome(), expected):
            different.append(total - number)
    sys.stdout.write(json.dumps(different) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
