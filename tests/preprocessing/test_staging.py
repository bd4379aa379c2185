import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import staging


def test_files_appear_when_the_block_has_ended(tmp_path):
    output = tmp_path / "days"
    with staging.staged(output) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a").write_text("new")
        assert not (output / "deep").exists()
    assert (output / "deep" / "a").read_text() == "new"
    assert [path.name for path in output.iterdir()] == ["deep"]


def test_an_error_leaves_nothing_and_touches_nothing(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), staging.staged(tmp_path) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_a_killed_call_left_unfinished_is_thrown_away(tmp_path):
    (tmp_path / staging.WRITING).mkdir()
    (tmp_path / staging.WRITING / "half").touch()
    (tmp_path / f"{staging.ASIDE}scratch").mkdir()
    with staging.staged(tmp_path) as folder:
        (folder / "a").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_call_left_of_its_scratch_is_thrown_away_and_nothing_of_others(tmp_path):
    with staging.scratch(tmp_path / "days", tmp_path) as folder, staging.scratch(tmp_path / "more", tmp_path) as other:
        (other / "spill").touch()
        (folder / "spill").touch()
        with staging.scratch(tmp_path / "days", tmp_path) as again:
            assert again == folder and not list(again.iterdir())
        assert list(other.iterdir())
    assert not list(tmp_path.iterdir())


def test_moves_that_a_killed_call_left_are_finished(tmp_path):
    (tmp_path / staging.WRITTEN / "vocabulary").mkdir(parents=True)
    (tmp_path / staging.WRITTEN / "vocabulary" / "b").write_text("new")
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "b").write_text("old")
    (tmp_path / "a").write_text("moved before the end")
    staging.finish(tmp_path)
    assert (tmp_path / "vocabulary" / "b").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "vocabulary"]


def test_an_output_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "days").touch()
    with pytest.raises(InputError, match="`output` .*days: "), staging.staged(tmp_path / "days"):
        pass


def test_a_folder_of_parts_takes_the_place_of_a_file_and_of_another_folder(tmp_path):
    for name in ("a.parquet", "deep/b.parquet"):
        (tmp_path / staging.WRITTEN / name).mkdir(parents=True)
        (tmp_path / staging.WRITTEN / name / "part-1.parquet").write_text("new")
    (tmp_path / "a.parquet").write_text("old")
    (tmp_path / "deep" / "b.parquet").mkdir(parents=True)
    (tmp_path / "deep" / "b.parquet" / "part-0.parquet").write_text("old")
    staging.finish(tmp_path)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["a.parquet/part-1.parquet", "deep/b.parquet/part-1.parquet"]


def test_a_second_call_is_refused_while_the_first_one_writes(tmp_path):
    for _ in range(2):
        with (
            staging.only_call(tmp_path / "days"),
            pytest.raises(InputError, match="another call is writing"),
            staging.only_call(tmp_path / "days"),
        ):
            pass
