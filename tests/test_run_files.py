"""Files of a run are replaced together, whatever stops the writer, and a reader sees one state."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from transformers4recsys import run_files
from transformers4recsys.errors import InputError
from transformers4recsys.run_files import Snapshot, publish


@pytest.fixture
def publish_day(tmp_path):
    """Save files that all say the number of their day."""

    def save(day: int):
        contents = {
            name: f"{name} of {day}".encode() for name in ("model", "config", "vocabulary/item", "vocabulary/brand")
        }
        publish(tmp_path / "run", contents)
        return tmp_path / "run"

    return save


def days_in(snapshot: Snapshot) -> set[int]:
    assert sorted(snapshot.entries) == ["config", "model", "vocabulary/brand", "vocabulary/item"]
    return {int(snapshot.read(name).split()[-1]) for name in snapshot.entries}


def test_a_kill_at_any_file_leaves_one_whole_day(publish_day, monkeypatch):
    folder = publish_day(1)
    seen = set()
    for number in range(100):
        left = iter(range(number))

        def or_die(call, left=left):
            def limited(*arguments):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return call(*arguments)

            return limited

        with monkeypatch.context() as patch:
            for name in ("replace", "fsync"):
                patch.setattr(run_files.os, name, or_die(getattr(os, name)))
            try:
                publish_day(2)
                was_killed = False
            except KeyboardInterrupt:
                was_killed = True
        days = days_in(Snapshot.open(folder))
        assert len(days) == 1
        seen |= days
        if not was_killed:
            assert days == {2} and not list(folder.rglob(".*"))
            break
        publish_day(1)
    assert number > 20 and seen == {1, 2}


def test_a_reader_keeps_its_day_when_a_writer_goes_on(publish_day):
    yesterday = Snapshot.open(publish_day(1))
    today = Snapshot.open(publish_day(2))
    assert days_in(yesterday) == {1} and days_in(today) == {2}


def test_a_reader_that_meets_a_writer_tries_again(publish_day, monkeypatch):
    folder = publish_day(1)
    checked, entries = run_files._checked, iter(range(3))

    def meets_writer(folder, name, entry):
        if next(entries, None) == 1:
            publish_day(2)
        return checked(folder, name, entry)

    monkeypatch.setattr(run_files, "_checked", meets_writer)
    assert days_in(Snapshot.open(folder)) == {2}


def test_a_full_disk_is_a_message_and_leaves_the_earlier_day(publish_day, monkeypatch):
    folder = publish_day(1)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left on device.*files are whole"):
        patch.setattr(run_files.os, "fsync", full)
        publish_day(2)
    assert days_in(Snapshot.open(folder)) == {1}
    assert Snapshot.open(folder).names_in("vocabulary") == ["vocabulary/brand", "vocabulary/item"]


def test_a_disk_that_is_full_from_the_start_leaves_nothing_to_go_on_from(publish_day, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_files.os, "fsync", full)
    with pytest.raises(InputError, match="nothing of it was saved before.*and start again"):
        publish_day(1)


def test_threads_that_read_one_file_each_get_all_of_it(tmp_path):
    content = os.urandom(2**20)
    publish(tmp_path, {"model": content})
    snapshot = Snapshot.open(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        assert all(found == content for found in threads.map(lambda _: snapshot.read("model"), range(200)))
