from datetime import datetime

import pytest

from transformers4recsys.data.days import DaySettings
from transformers4recsys.schema import SessionSettings
from transformers4recsys.training.day_files import DataSettings, checked_files, day_readers, found_days
from transformers4recsys.training.incremental import Protocol
from transformers4recsys.training.training_arguments import LibrarySettings, library_arguments


@pytest.fixture
def readers(toy_days, tmp_path):
    data = DataSettings(
        days=DaySettings(str(toy_days), "2019-10-01", "2019-10-03"),
        sessions=SessionSettings(feature_config=str(toy_days / "features.yaml")),
    )
    schema = data.sessions.schema()
    days, files = found_days(data, Protocol(), does_train=True)
    checked = checked_files(days, files, data, schema, Protocol(), does_train=True)
    arguments, _ = library_arguments(LibrarySettings(output_dir=str(tmp_path), use_cpu=True))
    return day_readers(data, schema, days, checked, arguments=arguments, protocol=Protocol(), has_all_items=False)


def test_baselines_read_the_items_of_a_train_file_in_its_order(readers):
    day = datetime(2019, 10, 2)
    (batch,) = readers.to_count(day).batches(0)
    assert set(batch.columns) == {"item_id"} and len(batch) == readers.to_train(day).num_rows
    whole = [row for each in readers.to_evaluate(day, "train").batches(0) for row in each.columns["item_id"].values]
    assert batch.columns["item_id"].values.tolist() == [int(item) for item in whole]
    assert readers.number_of(datetime(2019, 10, 3)) - readers.number_of(day) == 1
