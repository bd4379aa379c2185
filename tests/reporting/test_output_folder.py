"""One run writes to a folder, and an earlier one is kept until the new one stands, whatever ends it."""

import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.reporting import output_folder
from transformers4recsys.reporting.output_folder import LOCK, OutputFolder, claimed
from transformers4recsys.run_files import Snapshot, publish

CODES = Path(__file__).parents[2] / "codes"
EARLIER = {"model.safetensors": b"earlier weights", "vocabulary/item.parquet": b"earlier ids"}


def write_run(folder: Path, word: str) -> None:
    """Write what a run leaves behind; `word` is in each file."""
    publish(folder, {name: content.replace(b"earlier", word.encode()) for name, content in EARLIER.items()})
    (folder / "pred_logs").mkdir(exist_ok=True)
    for name in ("log.json", "pred_logs/preds_date_2019-10-02.parquet"):
        (folder / name).write_text(f"{word} {name}")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights_read(folder: Path) -> bytes:
    return Snapshot.open(folder).read("model.safetensors")


def test_an_earlier_run_is_kept_unless_asked(tmp_path):
    write_run(tmp_path, "earlier")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="overwrite_output_dir.*resume_from_checkpoint"), claimed(tmp_path) as output:
        output.require_empty(may_overwrite=False)
    assert contents(tmp_path) == before


def test_the_output_of_preprocess_is_never_replaced(tmp_path):
    (tmp_path / "preprocessing.json").write_text("{}")
    with pytest.raises(InputError, match="holds day files"), claimed(tmp_path) as output:
        output.require_empty(may_overwrite=True)


def test_an_earlier_run_goes_when_the_new_one_has_finished_a_day(tmp_path):
    write_run(tmp_path, "earlier")
    for name in ("notes.txt", ".mine.optimizer.pt", ".mine.0123456789abcdef"):
        (tmp_path / name).write_text("mine")
    with claimed(tmp_path) as output:
        output.start()
        assert weights_read(tmp_path) == b"earlier weights"
        write_run(tmp_path, "new")
        assert weights_read(tmp_path) == b"new weights"
        output.keep()
    found = contents(tmp_path)
    assert found.pop("notes.txt") == found.pop(".mine.optimizer.pt") == b"mine"
    assert "manifest.json" in found and all(b"earlier" not in content for content in found.values())
    assert not list(tmp_path.glob(".*run*"))


def test_an_earlier_run_is_put_back_when_the_new_one_fails(tmp_path):
    write_run(tmp_path, "earlier")
    before = contents(tmp_path)
    with pytest.raises(RuntimeError), claimed(tmp_path) as output:
        output.start()
        (tmp_path / "log.json").write_text("new")
        raise RuntimeError
    assert contents(tmp_path) == before


def test_a_new_run_that_was_stopped_stays_if_it_can_be_gone_on_with(tmp_path):
    write_run(tmp_path, "earlier")
    with pytest.raises(SystemExit), claimed(tmp_path) as output:
        output.start()
        publish(tmp_path / "checkpoints" / "2019-10-01-step-00000003", {"model.safetensors": b"new"})
        raise SystemExit(143)
    assert weights_read(tmp_path) == b"earlier weights"
    with claimed(tmp_path) as output:
        output.go_on()
        write_run(tmp_path, "new")
        output.keep()
    assert all(b"earlier" not in content for content in contents(tmp_path).values())


def start_new_run(folder: Path, *, finishes_a_day: bool) -> None:
    output = OutputFolder(folder, io.StringIO())
    output.start()
    (folder / "log.json").write_text("new log.json")
    if finishes_a_day:
        write_run(folder, "new")
    output.keep()


@pytest.mark.parametrize("finishes_a_day", [False, True])
def test_a_kill_at_any_file_leaves_the_earlier_run_or_the_new_one(finishes_a_day, tmp_path, killed_after):
    number, outcomes = 0, []
    while True:
        folder = tmp_path / str(number)
        write_run(folder, "earlier")
        earlier, work = contents(folder), partial(start_new_run, folder, finishes_a_day=finishes_a_day)
        was_killed = killed_after(number, ("replace", "unlink", "rmdir", "mkdir", "fsync"), work)
        if not was_killed:
            break
        if finishes_a_day:
            assert weights_read(folder) in (b"earlier weights", b"new weights")
        OutputFolder(folder, io.StringIO()).go_on()
        found = contents(folder)
        outcomes.append(found == earlier)
        # The earlier run is back as a whole, or the new one stands and nothing is left of the earlier one.
        assert found == earlier or all(b"earlier" not in content for content in found.values()), number
        number += 1
    assert number > 20 and outcomes[0] and outcomes == sorted(outcomes, reverse=True)


def test_a_second_run_is_told_who_writes(tmp_path):
    with claimed(tmp_path):
        holder = json.loads((tmp_path / LOCK).read_text())
        assert holder["pid"] == os.getpid() and holder["host"]
        code = f"""
from functools import partial
from pathlib import Path
from transformers4recsys.reporting.output_folder import claimed
with claimed(Path({str(tmp_path)!r})):
    pass
"""
        environment = os.environ | {"PYTHONPATH": str(CODES)}
        second = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert f"in use by another run (process {holder['pid']} on {holder['host']})" in second.stderr
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"pid": 2**22 - 1, "host": "elsewhere"}))
    with claimed(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="output_dir"), claimed(tmp_path / "out"):
        pass


def test_a_full_disk_is_a_message(tmp_path):
    with pytest.raises(InputError, match="log.json: No space left on device"), claimed(tmp_path) as output:
        output.start()
        raise OSError(28, "No space left on device", "log.json")


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(output_folder.fcntl, "flock", no_locks)
    with claimed(tmp_path):
        assert "has no locks" in caplog.text
