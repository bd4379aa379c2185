"""Rows that another library reads become the batches of pyarrow, or an error that says what to do."""

import sys
from datetime import datetime

import pyarrow as pa
import pytest

from transformers4recsys.data.parquet.row_groups import row_groups
from transformers4recsys.data.readers import READERS
from transformers4recsys.data.readers.library import Library, Reading, as_column, completed
from transformers4recsys.data.readers.nvtabular import NVTABULAR
from transformers4recsys.data.readers.petastorm import PETASTORM
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

SCHEMA = Schema.from_entries(
    {
        "item": {"dtype": "categorical", "cardinality": 100, "is_label": True},
        "time": {"dtype": "timestamp"},
    }
)
TIMES = pa.array([datetime(1970, 1, 1, 0, 0, second) for second in range(5)])


def opened(files, read_tables, **settings):
    defaults = {"schema": SCHEMA, "batch_size": 2, "session_length_max": 2, "day": datetime(2019, 10, 1)}
    return DayReader(
        files, library=Library("made_up", read_tables, package="", used_settings=()), **defaults | settings
    )


@pytest.fixture
def path(write):
    return write(item=[[1, 2, 3], [], [4], [5, 6], [7, 8]], time=TIMES, row_group_size=2)


def test_what_the_library_does_not_give_is_read_with_pyarrow(path):
    def read_items(groups, names, reading):
        assert names == ["item", "time"]
        for first in range(0, len(groups), reading.workers_count):
            together = groups[first : first + reading.workers_count]
            yield together, pa.concat_tables([group.read(["item"]) for group in together])

    for at_once in (1, 2, 3):
        reader = opened([path], read_items, reading=Reading(workers_count=at_once))
        assert (reader.num_rows, len(reader)) == (3, 2)
        first, second = reader.batches(0)
        assert first.columns["item"].values.tolist() == [2, 3, 5, 6]
        assert first.columns["time"].values.tolist() == [0, 0, 3_000_000, 3_000_000]
        assert second.columns["item"].values.tolist() == [7, 8]


def test_a_library_that_loses_rows_is_found_out(path):
    group = row_groups([path], SCHEMA)[0]
    with pytest.raises(AssertionError, match="keep all rows"):
        completed(group.read(["item"]).slice(1), [group], ["item", "time"])


def test_columns_of_values_and_offsets():
    assert as_column(TIMES.to_numpy(), None).to_pylist()[1].isoformat() == "1970-01-01T00:00:01"
    lists = as_column(pa.array([1, 2, 3]).to_numpy(), pa.array([0, 2, 2, 3]).to_numpy())
    assert lists.to_pylist() == [[1, 2], [], [3]]


def test_no_files_give_no_batches():
    reader = opened([], None)
    assert (len(reader), reader.num_rows, list(reader.batches(0))) == (0, 0, [])


def test_rows_beyond_the_memory_are_refused(path):
    with pytest.raises(InputError, match="a fifth of `loader_memory`; raise it, or .* pyarrow"):
        opened([path], None, memory_bytes=500)


def test_what_a_library_cannot_read_is_reported(path):
    def fail(groups, names, reading):
        raise pa.ArrowInvalid("out of bounds timestamp")

    with pytest.raises(
        InputError,
        match="made_up cannot read .*file.parquet: out of bounds timestamp; choose `data_loader_engine` pyarrow",
    ):
        opened([path], fail)


@pytest.mark.parametrize(("name", "package"), [("nvtabular", "merlin.loader.torch"), ("petastorm", "petastorm")])
def test_a_missing_package_is_reported_with_the_command_that_installs_it(name, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"`data_loader_engine` {name} cannot be used .* `make engine-{name}`"):
        READERS[name].check_usable(str(tmp_path))


def test_only_local_files_are_read(tmp_path):
    with pytest.raises(InputError, match="nvtabular reads local files only, not s3://shop/days"):
        NVTABULAR.check_usable("s3://shop/days")


def test_what_does_not_fit_together_is_refused_where_rows_are_held(path, write):
    size = sum(group.num_bytes for group in row_groups([path], SCHEMA))
    other = write("other.parquet", item=[[1, 2]], time=TIMES[:1])
    room = 5 * size
    PETASTORM.check_readable([[path], [other], [path]], SCHEMA, room)
    with pytest.raises(InputError, match="other.parquet may take .* a fifth of `loader_memory`"):
        PETASTORM.check_readable([[other], [path, other]], SCHEMA, room)


def test_a_path_that_petastorm_cannot_read_is_reported(write):
    path = write("a#b.parquet", item=[[1, 2]], time=TIMES[:1])
    with pytest.raises(InputError, match="a#b.parquet: petastorm cannot read a path with #"):
        PETASTORM.check_readable([[path]], SCHEMA, 10**9)
    NVTABULAR.check_readable([[path]], SCHEMA, 10**9)
