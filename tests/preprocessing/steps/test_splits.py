import json
import random
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.steps import splits

FILES = {"train": "2000-01-01", "valid": "2000-01-02", "test": "2000-01-02"}


@pytest.fixture
def split(tmp_path):
    """Preprocess columns of events; give the raw items of each row, with its session's id, by file."""

    def run(columns, **settings):
        pq.write_table(pa.table(columns), tmp_path / "log.parquet")
        recipe = Recipe(**({"item_column": "item", "drop_repeats": "none"} | settings))
        preprocess(
            LogSettings(tmp_path / "log.parquet", tmp_path / "days"),
            recipe,
            DatabaseChoice(memory_limit="500MB", threads=1),
        )
        words = pq.read_table(tmp_path / "days" / "vocabulary" / "item_id.parquet").to_pylist()
        raw = {row["id"]: row["raw"] for row in words}
        found = {}
        for name, day in FILES.items():
            rows = pq.read_table(tmp_path / "days" / f"session_start_date={day}-{name}.parquet").to_pylist()
            found[name] = [(row["session_id"], [raw[i] for i in row["item_id"]]) for row in rows]
        return found

    return run


def columns_of(sequences):
    rows = [(user, number, item) for user, items in sequences.items() for number, item in enumerate(items)]
    random.Random(0).shuffle(rows)
    return dict(zip(("user", "order", "item"), map(list, zip(*rows, strict=True)), strict=True))


def test_leave_one_out_holds_the_last_two_items_back(split):
    users = {1: [11, 12, 13, 14, 15], 2: [21, 22, 23], 3: [31, 32], 4: [41]}
    found = split(columns_of(users), user_column="user", order_column="order", split="leave_one_out")
    # With three items one is left to train on, with two there is nothing to hold back.
    assert found == {
        "train": [(1, [11, 12, 13]), (3, [31, 32])],
        "valid": [(1, [11, 12, 13, 14]), (2, [21, 22])],
        "test": [(1, [11, 12, 13, 14, 15]), (2, [21, 22, 23])],
    }


def test_each_file_has_the_last_items_before_its_own_end(split):
    users = {1: [1, 2, 3, 4, 5, 6]}
    found = split(
        columns_of(users), user_column="user", order_column="order", split="leave_one_out", session_length_max=3
    )
    assert found == {"train": [(1, [2, 3, 4])], "valid": [(1, [3, 4, 5])], "test": [(1, [4, 5, 6])]}


def test_a_long_sequence_makes_rows_that_teach_each_of_its_events_once(split, tmp_path):
    users = {1: [*range(1, 11)], 2: [*range(21, 30)], 3: [31, 32, 33, 34]}
    found = split(
        columns_of(users), user_column="user", order_column="order", split="leave_one_out", train_length_max=4
    )
    first, second = [(1, [5, 6, 7, 8]), (1, [2, 3, 4, 5]), (1, [1, 2])], [(2, [24, 25, 26, 27]), (2, [21, 22, 23, 24])]
    assert found["train"] == [*first, *second, (3, [31, 32])]
    assert found["valid"][0] == (1, [*range(1, 10)])
    manifest = json.loads((tmp_path / "days" / "preprocessing.json").read_text())
    assert not manifest["calls"][0]["events_dropped"]
    assert "session_seq_length_max: 4  # as in the train file" in (tmp_path / "days" / "train.yaml").read_text()


def test_rows_of_a_training_length_need_a_split():
    with pytest.raises(InputError, match="another `split` than days"):
        Recipe(item_column="item", session_column="session", time_column="time", train_length_max=4)


def test_events_in_no_file_are_not_counted_as_written(split, tmp_path):
    users = {1: [1, 2, 3, 4, 5, 6, 7], 2: [1, 2, 3], 3: [1, 2], 4: [1]}
    split(columns_of(users), user_column="user", order_column="order", split="leave_one_out", session_length_max=3)
    manifest = json.loads((tmp_path / "days" / "preprocessing.json").read_text())
    # Of the first user, 3 to 5 are trained on, 6 and 7 are targets.
    assert manifest["calls"][0]["events_dropped"] == {"before_the_last_n": 2, "in_a_short_session": 1}
    assert manifest["calls"][0]["events_written"] == manifest["days"]["2000-01-01"]["events"] == 10


def test_the_order_column_is_a_number_and_repeats_count(split):
    users = {7: [5] * 3 + list(range(10, 20))}
    found = split(columns_of(users), user_column="user", order_column="order", split="leave_one_out")
    assert found["test"] == [(7, users[7])]


def test_time_cuts_all_users_at_the_same_days(split):
    first = datetime(2024, 1, 1)
    log = [("a", 0, 1), ("a", 1, 2), ("a", 3, 3), ("a", 4, 4), ("b", 3, 5), ("b", 4, 6), ("b", 5, 7), ("c", 0, 8)]
    columns = {
        "user": [user for user, _, _ in log],
        "time": [first + timedelta(days=day, hours=12) for _, day, _ in log],
        "item": [item for _, _, item in log],
    }
    found = split(
        columns,
        user_column="user",
        time_column="time",
        split="time",
        valid_from="2024-01-04",
        test_from="2024-01-05",
        session_length_max=3,
    )
    # A row a target, with the last items before it; the first item of b has nothing before it.
    assert found == {
        "train": [("a", [1, 2])],
        "valid": [("a", [1, 2, 3])],
        "test": [("a", [2, 3, 4]), ("b", [5, 6]), ("b", [5, 6, 7])],
    }


def test_without_dates_time_cuts_where_80_and_90_percent_lie_before(split):
    first = datetime(2024, 1, 1)
    columns = {"user": ["a"] * 20, "time": [first + timedelta(days=n) for n in range(20)], "item": list(range(20))}
    found = split(columns, user_column="user", time_column="time", split="time")
    assert found["train"] == [("a", list(range(16)))]
    assert [items[-1] for _, items in found["valid"]] == [16, 17]
    assert [items[-1] for _, items in found["test"]] == [18, 19]


def test_a_given_split_has_a_row_for_every_prefix(split):
    columns = {
        "part": ["train", "train", "valid", "valid", "test", "test", "test", "train"],
        "session": [1, 1, 2, 2, 1, 1, 1, 3],
        "order": [0, 1, 0, 1, 0, 1, 2, 0],
        "item": [1, 2, 3, 4, 5, 6, 7, 8],
    }
    found = split(columns, session_column="session", order_column="order", split="given", split_column="part")
    assert found == {
        "train": [("train-1", [1, 2])],
        "valid": [("valid-2", [3, 4])],
        "test": [("test-1", [5, 6]), ("test-1", [5, 6, 7])],
    }


def test_without_published_validation_a_sixteenth_of_the_training_sequences_is_taken(split):
    numbers = list(range(400))
    columns = {
        "part": ["train"] * 800 + ["test"] * 2,
        "session": [n for n in numbers for _ in range(2)] + [0, 0],
        "order": [0, 1] * 401,
        "item": [1, 2] * 401,
    }
    found = split(columns, session_column="session", order_column="order", split="given", split_column="part")
    train, valid = ({session for session, _ in found[name]} for name in ("train", "valid"))
    assert not train & valid and train | valid == {f"train-{n}" for n in numbers}
    assert 10 <= len(valid) <= 40
    assert [session for session, _ in found["test"]] == ["test-0"]


def test_a_part_of_another_name_is_an_error(split):
    columns = {"part": ["train", "dev"], "session": [1, 1], "order": [0, 1], "item": [1, 2]}
    with pytest.raises(
        InputError, match="row 2: column part holds 'dev', which is not a split; allowed are train, valid, test"
    ):
        split(columns, session_column="session", order_column="order", split="given", split_column="part")


def test_numbers_are_fitted_on_the_training_file_alone(split, tmp_path):
    users = columns_of({1: [1, 2, 3, 4]}) | {"price": [0.0] * 4}
    users["price"] = [{0: 1.0, 1: 3.0}.get(number, 1e6) for number in users["order"]]
    split(users, user_column="user", order_column="order", split="leave_one_out", numeric_columns=["price"])
    fitted = json.loads((tmp_path / "days" / "preprocessing.json").read_text())["fitted"]
    assert fitted == {"price": {"mean": 2.0, "std": 1.0}}


def test_prices_of_targets_do_not_reach_what_is_trained_on(split, day_file):
    users = columns_of({1: [1, 2, 3, 4]}) | {"category": ["c"] * 4}
    users["price"] = [{0: 1.0, 1: 3.0, 2: 4.0}.get(number, 1e6) for number in users["order"]]
    settings = {"category_column": "category", "price_column": "price", "split": "leave_one_out"}
    split(users, user_column="user", order_column="order", **settings)
    # The mean of the category is that of the two events trained on, 2, in all files.
    assert day_file("2000-01-01")[0]["relative_price"] == [-0.5, 0.5]
    assert day_file("2000-01-02", "valid")[0]["relative_price"] == [-0.5, 0.5, 1.0]


def test_a_log_without_time_has_no_features_of_it(split, tmp_path):
    split(columns_of({1: [1, 2, 3, 4]}), user_column="user", order_column="order", split="leave_one_out")
    table = pq.read_table(tmp_path / "days" / "session_start_date=2000-01-01-train.parquet")
    assert table.column_names == ["session_id", "session_start", "user_id", "item_id", "event_time"]


def test_a_core_leaves_out_what_becomes_rare_by_leaving_out(database, table):
    # Item 9 is rare; without it user 3 has one event; without that, item 3 is rare; then user 4.
    log = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 9), (3, 3), (4, 3), (4, 1)]
    events = table(_key=[user for user, _ in log], item_id=[item for _, item in log])
    kept = database.rows(splits.in_core(events, database, 2))
    assert sorted((row["_key"], row["item_id"]) for row in kept) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    with pytest.raises(InputError, match="--k_core 3: no user and item has that many events"):
        splits.in_core(events, database, 3)


def test_counts_add_up(split, tmp_path):
    users = {1: [1, 2, 3, 4], 2: [1, 2, 3, 4], 3: [9, 8]}
    split(columns_of(users), user_column="user", order_column="order", split="leave_one_out", k_core=2)
    manifest = json.loads((tmp_path / "days" / "preprocessing.json").read_text())
    (call,) = manifest["calls"]
    assert (call["events_read"], call["events_written"]) == (10, 8)
    assert call["events_dropped"] == {"outside_the_core": 2}
    assert manifest["days"] == {
        "2000-01-01": {"events": 8, "sessions": 2, "valid_sessions": 0, "test_sessions": 0},
        "2000-01-02": {"events": 0, "sessions": 0, "valid_sessions": 2, "test_sessions": 2},
    }


@pytest.mark.parametrize(
    ("counts", "days"),
    [
        # 80 of 100 events lie before day 8, 90 before day 9.
        (dict.fromkeys(range(10), 10), [8, 9]),
        ({1: 80, 2: 5, 3: 5, 4: 10}, [2, 4]),
        # The last day alone holds more than a tenth: it is the test, the day before it the validation.
        ({3: 50, 5: 20, 7: 30}, [5, 7]),
        ({3: 98, 5: 1, 7: 1}, [5, 7]),
    ],
)
def test_each_part_gets_a_day(counts, days):
    assert splits.days_of_cuts(counts) == days


def test_two_days_are_too_few_for_three_parts():
    with pytest.raises(InputError, match="events of 2 days; three are needed"):
        splits.days_of_cuts({1: 5, 2: 5})


def test_dates_in_the_wrong_order_are_an_error(split):
    columns = {"user": ["a"] * 2, "time": [datetime(2024, 1, day) for day in (1, 2)], "item": [1, 2]}
    with pytest.raises(InputError, match="validation would begin on 2024-01-05 and the test on 2024-01-04"):
        split(
            columns,
            user_column="user",
            time_column="time",
            split="time",
            valid_from="2024-01-05",
            test_from="2024-01-04",
        )


def test_a_split_cannot_be_added_to(split):
    columns = columns_of({1: [1, 2, 3, 4]})
    split(columns, user_column="user", order_column="order", split="leave_one_out")
    with pytest.raises(InputError, match="holds a split already"):
        split(columns, user_column="user", order_column="order", split="leave_one_out")


def test_nothing_to_train_on_is_an_error(split):
    with pytest.raises(InputError, match="no sequence has two events or more to train on"):
        split(columns_of({1: [1, 2, 3]}), user_column="user", order_column="order", split="leave_one_out")
