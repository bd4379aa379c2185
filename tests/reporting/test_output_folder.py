"""An earlier run is replaced on request alone, and only what a run writes is removed."""

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.reporting.output_folder import start_anew


def test_an_earlier_run_is_kept_unless_asked(tmp_path):
    (tmp_path / "log.json").write_text("kept")
    with pytest.raises(InputError, match="--overwrite_output_dir.*--resume_from_checkpoint"):
        start_anew(tmp_path, may_overwrite=False)
    assert (tmp_path / "log.json").read_text() == "kept"


def test_overwriting_removes_results_and_nothing_else(tmp_path):
    for name in ("log.json", "notes.txt", ".progress.json", ".2019-10-01T00:00:00.optimizer.pt", ".mine.optimizer.pt"):
        (tmp_path / name).write_text("")
    for name in ("pred_logs", "checkpoint-5", "photos"):
        (tmp_path / name).mkdir()
    start_anew(tmp_path, may_overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.optimizer.pt", "notes.txt", "photos"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="--output_dir"):
        start_anew(tmp_path / "out", may_overwrite=True)
