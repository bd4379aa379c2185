"""Blocks that were freed stay with the process."""

import platform
import subprocess
import sys

import pytest

FREE_AND_COUNT = """
import resource, numpy
from transformers4recsys.training.memory import keep_freed_memory
assert {keeps} is None or keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(13):
    if turn == 3:
        before = faults()
    blocks = [numpy.ones(2**20) for _ in range(8)]
    del blocks
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of the GNU C library")
def test_blocks_are_not_asked_for_again():
    runs = [FREE_AND_COUNT.format(keeps=keeps) for keeps in (None, True)]
    without, with_it = (
        int(subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout)
        for run in runs
    )
    # Ten times eight blocks of 8 MiB, in pages of 4 KiB or more.
    assert with_it < 100 < without
