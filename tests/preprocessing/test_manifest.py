import pytest

from transformers4recsys.day_format import MANIFEST_FILE
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.manifest import open_manifest


def test_what_is_written_is_read(tmp_path, recipe):
    manifest = open_manifest(tmp_path, recipe())
    manifest.choose_fitted_days([19_000, 19_001], recipe())
    manifest.days["2022-01-08"] = {"sessions": 3}
    manifest.write(tmp_path)
    again = open_manifest(tmp_path, recipe())
    assert again == manifest
    assert (again.fitted_days, again.fitted_until("day")) == (["2022-01-08"], 19_000)


def test_sessions_by_pauses_begin_after_the_last_event_that_was_read(tmp_path, recipe):
    by_pauses, day = recipe(session_column=None, user_column="user"), 86_400_000
    manifest = open_manifest(tmp_path, recipe())
    assert manifest.written_before(recipe()) is None
    manifest.days["2022-01-08"] = {"sessions": 3}
    manifest.last_time = 19_001 * day + 5
    assert manifest.written_before(recipe()) == 19_001 * day
    assert manifest.written_before(by_pauses) == 19_001 * day + 6
    manifest.last_time = 19_000 * day
    assert manifest.written_before(by_pauses) == 19_001 * day


def test_other_settings_are_an_error_that_names_them(tmp_path, recipe):
    open_manifest(tmp_path, recipe()).write(tmp_path)
    with pytest.raises(InputError, match="session_length_max was 20, is 10; give the same settings again"):
        open_manifest(tmp_path, recipe(session_length_max=10))


def test_a_setting_younger_than_the_output_had_its_default(tmp_path, recipe):
    manifest = open_manifest(tmp_path, recipe())
    del manifest.settings["event_types"]
    manifest.write(tmp_path)
    open_manifest(tmp_path, recipe())
    with pytest.raises(InputError, match=r"event_types was \[\], is \['a'\]"):
        open_manifest(tmp_path, recipe(event_type_column="type", event_types=["a"]))


def test_how_files_are_read_and_what_is_allowed_may_change(tmp_path, recipe):
    open_manifest(tmp_path, recipe()).write(tmp_path)
    open_manifest(tmp_path, recipe(separator=";", encoding="cp1252", allow_empty_days=True))


def test_a_broken_manifest_is_an_error(tmp_path, recipe):
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(InputError, match="preprocessing.json cannot be read"):
        open_manifest(tmp_path, recipe())


def test_too_few_days_to_fit_are_an_error(tmp_path, recipe):
    with pytest.raises(InputError, match="`fit_days` 3: the first log must hold as many days, it holds 2"):
        open_manifest(tmp_path, recipe()).choose_fitted_days([1, 2], recipe(fit_days=3))
    with pytest.raises(InputError, match="`fit_days` 3: the first log must hold as many hours, it holds 2"):
        open_manifest(tmp_path, recipe()).choose_fitted_days([1, 2], recipe(fit_days=3, time_unit="hour"))


def test_cardinality_is_the_largest_id_and_1_and_the_spare_share(tmp_path, recipe):
    manifest = open_manifest(tmp_path, recipe())
    manifest.grow({"item_id": 99, "brand": 3}, 0.5)
    assert manifest.cardinalities == {"item_id": 150, "brand": 6}


def test_cardinality_grows_only_when_ids_no_longer_fit(tmp_path, recipe):
    manifest = open_manifest(tmp_path, recipe())
    manifest.grow({"item_id": 9}, 0.5)
    manifest.grow({"item_id": 14}, 0.5)
    assert manifest.cardinalities == {"item_id": 15}
    manifest.grow({"item_id": 15}, 0.5)
    assert manifest.cardinalities == {"item_id": 24}


def test_names_of_older_files_are_read(tmp_path, recipe):
    manifest = open_manifest(tmp_path, recipe())
    manifest.has_time_of_day, manifest.fitted = False, {"price": {"mean": 2.0, "std": 0.5}}
    manifest.write(tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_text(path.read_text().replace("has_time_of_day", "has_clock").replace("std", "deviation"))
    assert open_manifest(tmp_path, recipe()) == manifest
