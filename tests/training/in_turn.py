"""Runs several training commands one after the other in the processes of one launch, and notes the rows trained on.

Called with a JSON file: a list of command lines. Each rank appends the item ids of its training rows to
`rows_RANK.txt` in the run's output folder, an epoch after the other.
"""

import json
import sys
from pathlib import Path

from transformers4recsys import cli, distributed
from transformers4recsys.training import trainer

read = trainer.EpochLoader.__iter__


def noting(folder: Path):
    """Give an EpochLoader.__iter__ that writes down what it hands out."""

    def batches(loader):
        for inputs in read(loader):
            column = inputs["batch"].columns["item_id"]
            rows = [part.tolist() for part in column.values.split(column.lengths.tolist())]
            with (folder / f"rows_{distributed.rank()}.txt").open("a") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in rows)
            yield inputs

    return batches


def run(commands: list[list[str]]) -> None:
    for flags in commands:
        trainer.EpochLoader.__iter__ = noting(Path(flags[flags.index("--output_dir") + 1]))
        assert cli.main(["train", *flags]) == 0, flags


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()))
