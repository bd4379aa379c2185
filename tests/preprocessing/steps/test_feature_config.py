from transformers4recsys.preprocessing.steps import feature_config
from transformers4recsys.schema import Schema


def test_the_file_is_a_feature_config(tmp_path, recipe):
    chosen = recipe(user_column="user", categorical_columns=["brand"], names={"item_id": "pid"})
    schema = feature_config.schema_of(
        chosen, {"item_id": 10, "brand": 4}, ["price"], {"session_id": "text", "user_id": "long"}
    )
    feature_config.write(schema, tmp_path)
    read = Schema.from_file(tmp_path / "features.yaml", past_prefix="bef_")
    assert read == schema
    assert (read.item_id.name, read.item_id.cardinality) == ("pid", 10)
    assert [feature.name for feature in read.inputs] == ["pid", "brand", "price"]
    assert [feature.name for feature in read.metadata] == ["session_id", "user_id"]
    assert sorted(read.past) == ["brand", "event_time", "pid", "price"]
    assert (read.past["pid"].name, read.past["pid"].table, read.past["pid"].cardinality) == ("bef_pid", "pid", 10)


def test_a_second_file_has_the_item_alone(tmp_path, recipe):
    chosen = recipe(user_column="user", categorical_columns=["brand"], names={"item_id": "pid"})
    feature_config.write(
        feature_config.schema_of(chosen, {"item_id": 10, "brand": 4}, ["price"], {"session_id": "long"}), tmp_path
    )
    read = Schema.from_file(tmp_path / "features_item_id.yaml", past_prefix="bef_")
    assert [feature.name for feature in read.columns] == ["pid", "session_id", "bef_pid"]


def test_negatives_of_the_item_are_in_both_files(tmp_path, recipe):
    chosen = recipe(categorical_columns=["brand"], names={"item_id": "pid"}, neg_samples=5)
    feature_config.write(feature_config.schema_of(chosen, {"item_id": 10, "brand": 4}, [], {}), tmp_path)
    for file in ("features.yaml", "features_item_id.yaml"):
        read = Schema.from_file(tmp_path / file)
        (column,) = read.negatives.values()
        assert column == read.negatives_of(read.item_id)
        assert (column.name, column.table, column.cardinality) == ("_neg_pid", "pid", 10)
        assert "_neg_pid" not in [feature.name for feature in read.inputs]


def test_without_a_user_there_are_no_past_columns(recipe):
    assert not feature_config.schema_of(recipe(), {"item_id": 10}, [], {}).past
