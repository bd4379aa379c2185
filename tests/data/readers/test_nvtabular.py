"""NVTabular reads what pyarrow reads: the same batches, whatever the partitions, types and lengths."""

import pytest

pytest.importorskip("merlin.loader.torch", reason="needs the package: make engine-nvtabular", exc_type=ImportError)

from merlin.io import Dataset


@pytest.mark.parametrize("part_mem_fraction", [0.1, 1e-9])
@pytest.mark.parametrize("row_group_size", [None, 7])
def test_batches_are_those_of_pyarrow(compare, ragged, row_group_size, part_mem_fraction):
    compare("nvtabular", ragged(60, 0), row_group_size=row_group_size, nvt_part_mem_fraction=part_mem_fraction)


def test_a_first_day_without_any_past_can_be_read(compare, ragged):
    compare("nvtabular", ragged(20, 0, has_past=False), row_group_size=7)


def test_a_file_without_rows_can_be_read(compare, ragged):
    compare("nvtabular", ragged(5, 0).slice(0, 0))


@pytest.mark.parametrize(("part_mem_fraction", "num_partitions"), [(0.1, 1), (1e-9, 9)])
def test_the_share_of_memory_decides_how_much_is_read_at_once(
    part_mem_fraction, num_partitions, compare, ragged, monkeypatch
):
    opened = []

    def open_dataset(*arguments, **settings):
        opened.append(Dataset(*arguments, **settings))
        return opened[-1]

    monkeypatch.setattr("merlin.io.Dataset", open_dataset)
    compare("nvtabular", ragged(60, 0), row_group_size=7, nvt_part_mem_fraction=part_mem_fraction)
    assert opened[0].npartitions == num_partitions
