"""Petastorm reads what pyarrow reads: the same batches, whatever the pool, its workers, types and lengths."""

import pytest

pytest.importorskip("petastorm", reason="needs the package: make engine-petastorm", exc_type=ImportError)


@pytest.mark.parametrize("pool_type", ["thread", "dummy"])
@pytest.mark.parametrize("workers_count", [0, 1, 3, 50])
@pytest.mark.parametrize("row_group_size", [None, 7])
def test_batches_are_those_of_pyarrow(compare, ragged, row_group_size, workers_count, pool_type):
    compare("petastorm", ragged(60, 0), row_group_size=row_group_size, workers_count=workers_count, pool_type=pool_type)


def test_processes_read_the_same(compare, ragged):
    compare("petastorm", ragged(60, 0), row_group_size=20, workers_count=2, pool_type="process")


def test_a_first_day_without_any_past_can_be_read(compare, ragged):
    compare("petastorm", ragged(20, 0, has_past=False), row_group_size=7)


def test_a_file_without_rows_can_be_read(compare, ragged):
    compare("petastorm", ragged(5, 0).slice(0, 0))
