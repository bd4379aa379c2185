import pytest

from transformers4recsys.data.readers.in_memory import InMemoryReader
from transformers4recsys.errors import InputError

COLUMNS = {
    "item_id": [[1, 2], [3], [4, 5, 6]],
    "category": [[1, 1], [2], [3, 3, 3]],
    "price": [[0.5, 1], [2], [3, 4, 5]],
}


def test_lists_become_batches(schema):
    reader = InMemoryReader.from_lists(COLUMNS, schema, batch_size=2)
    assert len(reader) == 2 and reader.num_rows == 3
    first, second = reader.batches(0)
    assert first.padded("item_id", 2).tolist() == [[1, 2], [3, 0]]
    assert second.padded("price", 3).tolist() == [[3, 4, 5]]
    assert [len(batch) for batch in reader.batches(1)] == [2, 1]


def test_every_input_is_needed(schema):
    with pytest.raises(InputError, match="`columns` lacks category, price"):
        InMemoryReader.from_lists({"item_id": [[1]]}, schema, batch_size=1)
