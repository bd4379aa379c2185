"""Blocks that were freed stay with the process."""

import platform
import subprocess
import sys

import pytest

FREE_AND_COUNT = """
import resource, numpy
from transformers4recsys.memory import keep_freed_memory
assert {keeps} is None or keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    numpy.ones(2**20)
before = faults()
for _ in range(50):
    numpy.ones(2**20)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of the GNU C library")
def test_blocks_are_not_asked_for_again():
    runs = [FREE_AND_COUNT.format(keeps=keeps) for keeps in (None, True)]
    without, with_it = (
        int(subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout)
        for run in runs
    )
    assert with_it < 100 and with_it < without or without == 0
