"""Runs several training commands one after the other in the processes of one launch, and notes what each rank had.

Called with a JSON file: a list of command lines. Each rank appends to files in the run's output folder: the item ids
of its training rows, an epoch after the other, to `rows_RANK.txt`; how many numbers of weights and of optimizer state
it holds, a line a day, to `held_RANK.txt`; what torch drew from, to `seeds_RANK.txt`. A rank that idles notes no row.
With `double` behind the file, all is computed in double precision. With `watched`, each rank writes the bytes of
its largest tensor, from the start of a command to its end, to `largest_RANK.txt`; what is done with some rows of a
table at a time is then done with few.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transformers4recsys import cli, distributed, row_shards
from transformers4recsys.batch import Jagged
from transformers4recsys.model import growth
from transformers4recsys.training import trainer
from transformers4recsys.training.run_writer import RunWriter

read, save_day = trainer.EpochLoader.__iter__, RunWriter.save_day


def noting(folder: Path):
    """Give an EpochLoader.__iter__ that writes down what it hands out."""

    def batches(loader):
        for inputs in read(loader):
            column = inputs["batch"].columns["item_id"]
            rows = [part.tolist() for part in column.values.split(column.lengths.tolist())]
            with (folder / f"rows_{distributed.rank()}.txt").open("a") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in rows if row != [0])
            yield inputs

    return batches


def note_and_save(writer: RunWriter, trainer, *others, **options):
    """Write down how much this rank holds and what it draws from, then save as always."""
    state = [value for values in trainer.optimizer.state_dict()["state"].values() for value in values.values()]
    tensors = list(trainer.model.parameters()), [value for value in state if value.dim()]
    held = [sum((x.to_local() if type(x) is DTensor else x).numel() for x in group) for group in tensors]
    folder = writer.folder
    folder.mkdir(exist_ok=True)
    with (folder / f"held_{distributed.rank()}.txt").open("a") as file:
        file.write(f"{json.dumps(held)}\n")
    with (folder / f"seeds_{distributed.rank()}.txt").open("a") as file:
        file.write(f"{torch.initial_seed()}\n")
    save_day(writer, trainer, *others, **options)


def compute_in_double_precision() -> None:
    torch.set_default_dtype(torch.float64)
    move = Jagged.to

    def moved(column: Jagged, *place, **options) -> Jagged:
        values = column.values.double() if column.values.is_floating_point() else column.values
        return move(Jagged(values, column.offsets, column.max_length), *place, **options)

    Jagged.to = moved


class LargestTensor(TorchDispatchMode):
    """Keeps the bytes of the largest tensor that any operation gives."""

    num_bytes = 0

    def __torch_dispatch__(self, operation, types, inputs=(), options=None):
        given = operation(*inputs, **(options or {}))
        sizes = [each.nbytes for each in tree_leaves(given) if isinstance(each, torch.Tensor)]
        self.num_bytes = max([self.num_bytes, *sizes])
        return given


def watched(flags: list[str], folder: Path) -> int:
    """Train, and write down the size of this rank's largest tensor."""
    rank = os.environ["RANK"]
    with LargestTensor() as largest:
        exit_code = cli.main(["train", *flags])
    (folder / f"largest_{rank}.txt").write_text(str(largest.num_bytes))
    return exit_code


def run(commands: list[list[str]], *, is_watched: bool) -> None:
    RunWriter.save_day = note_and_save
    for flags in commands:
        folder = Path(flags[flags.index("--output_dir") + 1])
        trainer.EpochLoader.__iter__ = noting(folder)
        exit_code = watched(flags, folder) if is_watched else cli.main(["train", *flags])
        assert exit_code == 0, flags


if __name__ == "__main__":
    if "double" in sys.argv[2:]:
        compute_in_double_precision()
    if "watched" in sys.argv[2:]:
        row_shards.NUMBERS_AT_A_TIME, growth.ROWS_AT_A_TIME = 2**14, 2**9
    run(json.loads(Path(sys.argv[1]).read_text()), is_watched="watched" in sys.argv[2:])
