import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe

LEAST = {"item_column": "product", "time_column": "time", "session_column": "visit"}


def test_flags_go_before_the_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("item_column: product\ntime_column: time\nsession_column: visit\nfit_days: 7\n")
    recipe = read_recipe(path, {"fit_days": 2, "price_column": None, "user_column": "customer"})
    assert (recipe.item_column, recipe.fit_days, recipe.price_column, recipe.user_column) == (
        "product",
        2,
        None,
        "customer",
    )


def test_categorical_columns_come_with_their_standard_names():
    recipe = Recipe(**LEAST, category_column="kind", categorical_columns=["brand"])
    assert recipe.categorical == {"item_id": "product", "category": "kind", "brand": "brand"}


def test_a_session_id_needs_no_gap_and_a_user_does():
    assert Recipe(**LEAST).gap_minutes is None
    assert Recipe(item_column="product", time_column="time", user_column="customer").gap_minutes == 30
    assert Recipe(**LEAST, session_gap_minutes=5).gap_minutes == 5


def test_a_sequence_goes_on_over_pauses_and_has_no_past():
    recipe = Recipe(item_column="product", order_column="n", user_column="customer", split="leave_one_out")
    assert recipe.gap_minutes is None and not recipe.has_history


def test_past_sessions_need_a_user():
    assert not Recipe(**LEAST).has_history
    assert Recipe(**LEAST, user_column="customer").has_history
    assert not Recipe(**LEAST, user_column="customer", past_length_max=0).has_history


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_column": None}, "`item_column` is not given"),
        ({"time_column": None}, "`time_column` is not given"),
        ({"session_column": None}, "give `session_column`, or `user_column`"),
        ({"item_column": ["a"]}, "`item_column` .'a'.: expected text"),
        ({"event_types": ["view"]}, "`event_types` needs `event_type_column`"),
        ({"drop_repeats": "some"}, "`drop_repeats` 'some' is unknown; choose one of all, consecutive, none"),
        ({"time_unit": "week"}, "`time_unit` 'week' is unknown; choose one of day, hour"),
        ({"epoch_unit": "min"}, "`epoch_unit` 'min' is unknown; choose one of ms, ns, s, us"),
        ({"session_length_max": 1}, "`session_length_max` 1: must be at least 2"),
        ({"session_length_max": 2.5}, "`session_length_max` 2.5: expected a whole number"),
        ({"session_gap_minutes": 0}, "`session_gap_minutes` 0.0: must be at least 1"),
        ({"fit_days": "x"}, "`fit_days` 'x': expected a whole number"),
        ({"file_format": "xml"}, "`file_format` 'xml' is unknown; choose one of csv, json, parquet"),
        ({"separator": ""}, "`separator` is empty"),
        ({"split": "random"}, "`split` 'random' is unknown; choose one of days, given"),
        ({"split": "given"}, "`split` given and `split_column`"),
        ({"split_column": "part"}, "`split` given and `split_column`"),
        ({"split": "time", "valid_from": "2024-01-01"}, "`valid_from` and `test_from` go together"),
        ({"valid_from": "2024-01-01", "test_from": "2024-01-02"}, "`valid_from` and `test_from` go together"),
        ({"k_core": 5}, "`k_core` counts the events of all days"),
        ({"neg_samples": -1}, "`neg_samples` -1: must be at least 0"),
        (
            {"neg_samples": 2, "neg_strategy": "random"},
            "`neg_strategy` 'random' is unknown; choose one of recency, recent_popularity",
        ),
        ({"neg_samples": 2, "neg_window_days": 0.5}, "`neg_window_days` 0.5: expected a whole number"),
        ({"neg_samples": 2, "neg_decay": 0}, "`neg_decay` 0.0: must be above 0 and at most 1"),
        ({"neg_samples": 2, "neg_strategy": "recency", "neg_decay": 1.5}, "`neg_decay` 1.5: must be above 0"),
        ({"neg_strategy": "recency"}, "`neg_strategy` has no effect: it is about negative columns"),
        ({"neg_samples": 2, "split": "time"}, "`neg_samples` draws from the days before a session's"),
        ({"split": "time", "time_unit": "hour"}, "`split` time makes no files of hours"),
        ({"split": "time", "time_column": None, "order_column": "n"}, "`time_column` is not given"),
        ({"names": {"item": "x"}}, "names: 'item' is not an output column; there are item_id"),
        ({"names": {"item_id": "event_time"}}, "two output columns are called 'event_time'"),
        ({"categorical_columns": ["event_time"]}, "column 'event_time': this name is taken"),
        ({"categorical_columns": ["category"], "category_column": "kind"}, "column 'category': this name is taken"),
        ({"categorical_columns": ["../x"]}, "column '../x' cannot name a file of the output"),
        ({"categorical_columns": ["a/b"]}, "give it another name by `names`, such as {'a/b': a_b}"),
        ({"names": {"item_id": "..\\x"}}, "cannot name a file of the output"),
        ({"names": {"item_id": ".hidden"}}, "cannot name a file of the output"),
        ({"categorical_columns": ["brand", "Brand"]}, "two output columns are called 'brand'"),
        ({"separator": "\n"}, "`separator` '.n': give one to four characters"),
        ({"quote": "''"}, "`quote` \"''\": give one character, or none"),
        ({"separator": '"', "quote": '"'}, "holds the `quote`"),
        ({"encoding": "cp9999"}, "`encoding` 'cp9999' is unknown"),
        ({"encoding": "hex"}, "`encoding` 'hex' is unknown"),
        ({"decimal": ";"}, "`decimal` ';' is unknown; choose one of ,, ."),
        ({"bad_lines": "drop"}, "`bad_lines` 'drop' is unknown; choose one of refuse, skip"),
        ({"column_names": ["a", "A"]}, "`column_names`: 'a' is there twice"),
        ({"numeric_columns": ["_time"]}, "column '_time': this name is taken"),
    ],
)
def test_what_cannot_be_is_an_error(settings, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        Recipe(**(LEAST | settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_colum: product", "unknown setting 'item_colum'; did you mean `item_column`"),
        ("- item_column", "expected `setting: value` lines"),
        ("item_column: [", "is not valid YAML"),
        ("categorical_columns: {brand: yes}", "`categorical_columns` .*: expected a list, each of text"),
        ("names: item_id", "`names` 'item_id': expected a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(path)


def test_a_file_may_give_one_value_for_a_list(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("item_column: product\ntime_column: time\nsession_column: visit\ncategorical_columns: brand\n")
    assert read_recipe(path).categorical_columns == ("brand",)


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "item_column: product\ntime_column: time\nsession_column: visit\nspare_ids: 1e-1\nseparator: '\\t'\n"
    )
    recipe = read_recipe(path)
    assert (recipe.spare_ids, recipe.separator) == (0.1, "\t")


def test_a_column_whose_name_leaves_the_folder_can_be_given_another(tmp_path):
    recipe = Recipe(**LEAST, categorical_columns=["../x"], names={"../x": "x"})
    assert recipe.output_name("../x") == "x"


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="`recipe` .*none.yaml: No such file"):
        read_recipe(tmp_path / "none.yaml")
