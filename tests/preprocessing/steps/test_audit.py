from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import raw_log
from transformers4recsys.preprocessing.steps import audit, events


@pytest.fixture
def audited(database, tmp_path):
    """Audit files of CSV or JSON text, or of parquet columns."""

    def run(recipe, written_before=None, **files):
        kinds = {name.rpartition("_")[2] for name in files}
        paths = []
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            if isinstance(content, str):
                path.write_text(content)
            else:
                pq.write_table(pa.table(content), path)
            paths.append(str(path))
        log = raw_log.opened(kinds.pop().replace("jsonl", "json"), paths, recipe, tmp_path / "raw")
        mark = partial(events.with_reason, recipe=recipe, written_before=written_before, first_day=None, last_day=None)
        return audit.audit(database, log, log.table(database), recipe, mark)

    return run


HEAD = "visit,time,product\n"
ROWS = "a,2024-01-05 10:00:00,1\na,2024-01-05 10:00:01,2\n"


def test_rows_are_counted_by_reason(audited, recipe):
    found = audited(recipe(), a_csv=HEAD + ROWS + "a,,3\n,2024-01-05,4\nb,2024-01-06,NULL\n")
    assert (found.read, found.kept, found.has_time_of_day) == (5, 2, True)
    assert found.dropped == {"no_item": 1, "no_time": 1, "no_session_or_user": 1}


def test_dates_have_no_time_of_day(audited, recipe):
    assert not audited(recipe(), a_csv=HEAD + "a,2024-01-05,1\n").has_time_of_day


def test_nothing_but_written_days_is_no_error(audited, recipe):
    found = audited(recipe(), written_before=2**50, a_csv=HEAD + ROWS)
    assert (found.read, found.kept, found.dropped) == (2, 0, {"already_written": 2})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,2024-01-05,\nb,2024-01-05,\n", r"no event that can be used \(2 rows read\): no_item 2"),
        ("", "there are no rows"),
        (ROWS + "a,yesterday,3\n", r"a\.csv, row 3: column time holds 'yesterday', which is not a time"),
        ("a,1570060800,3\n", "give `epoch_unit`, else its `time_format`"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(audited, recipe, rows, message):
    with pytest.raises(InputError, match=message):
        audited(recipe(), a_csv=HEAD + rows)


@pytest.mark.parametrize(
    ("price", "settings", "message"),
    [
        ("EUR 10.71", {}, r"b\.csv, row 2: column cost holds 'EUR 10.71', which is not a number; write digits alone"),
        ('"107,10"', {}, "row 2: column cost holds '107,10', .* give `decimal` ,"),
        ("1.234", {"decimal": ","}, "row 2: column cost holds '1.234', .* decimal comma"),
        ("n/a", {}, "`missing_values`"),
    ],
)
def test_a_price_that_is_no_number_is_an_error_with_file_row_and_cure(audited, recipe, price, settings, message):
    head = "cost,visit,time,product\n"
    good = "5,a,2024-01-05 10:00:00,1\n"
    with pytest.raises(InputError, match=message):
        files = {"a_csv": head + good, "b_csv": f"{head}{good}{price},a,2024-01-05 10:00:01,2\n"}
        audited(recipe(price_column="cost", **settings), **files)


def test_a_format_of_times_that_does_not_fit_is_an_error_with_its_place(audited, recipe):
    with pytest.raises(InputError, match="row 2: column time holds '31/31/2024', which is not a time"):
        audited(recipe(time_format="%d/%m/%Y"), a_csv=f"{HEAD}a,31/12/2024,1\na,31/31/2024,2\n")


def test_times_in_another_unit_are_an_error(audited, recipe):
    columns = {"visit": ["a"], "time": [1_570_060_800_000], "product": [1]}
    with pytest.raises(InputError, match=r"times reach from the year 517\d\d to 517\d\d; check `epoch_unit` \(s\)"):
        audited(recipe(), a_parquet=columns)


@pytest.mark.parametrize(
    ("ids", "is_refused"),
    [
        (("12", "12.0"), True),
        (("12", "1e+16"), True),
        (("12.5", "13.0"), False),
        (("12.0", "A"), False),
    ],
)
def test_whole_numbers_that_were_floats_are_no_ids(audited, recipe, ids, is_refused):
    files = {f"{name}_csv": f"{HEAD}a,2024-01-05 10:00:00,{value}\n" for name, value in zip("ab", ids, strict=True)}
    if is_refused:
        with pytest.raises(InputError, match=f"b.csv, row 1: column product holds {ids[1]!r}".replace("+", r"\+")):
            audited(recipe(), **files)
    else:
        assert audited(recipe(), **files).kept == 2


def test_json_lines_without_a_key_are_an_error_that_names_the_file(audited, recipe):
    line = '{{"visit": "a", "time": "2024-01-05 10:00:00", {}}}\n'
    with pytest.raises(InputError, match=r"no such column: `item_column` product .*a\.jsonl.* visit, time, props"):
        audited(recipe(), a_jsonl=line.format('"props": {"product": 1}'))
    with pytest.raises(InputError, match=r"b\.jsonl: not one of its 1 rows has a value in column product"):
        audited(recipe(), a_jsonl=line.format('"product": 1'), b_jsonl=line.format('"item": 1'))
