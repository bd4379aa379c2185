import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.opened_run import RunFolder


def test_a_run_is_opened(run_train):
    run = RunFolder.open(run_train(end_date="2019-10-02"))
    assert run.schema.item_id.cardinality == 31 and run.vocabularies == {} and run.item_table is None
    assert run.progress["last_day"].startswith("2019-10-01")


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no config.json"):
        RunFolder.open(tmp_path)
