"""Runs a function of a test file in one of several processes: in_process.py FILE FUNCTION RANK NUM_RANKS FOLDER.

What the function returns is saved for the test. The fixture `in_processes` starts them.
"""

import importlib.util
import sys

import torch


def main(file: str, function: str, rank: str, num_ranks: str, folder: str) -> None:
    spec = importlib.util.spec_from_file_location("tested", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=int(rank), world_size=int(num_ranks))
    torch.save(getattr(module, function)(), f"{folder}/answer_{rank}")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
