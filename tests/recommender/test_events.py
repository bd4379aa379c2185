"""Raw events give the model what the day files hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from transformers4recsys.commands import recommend as command
from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender


def lists_by_session(reader, found):
    """The input columns of each session, its history's included."""
    rows = {}
    for request in reader.requests(found):
        if not len(request.known):
            continue
        tables = filter(None, [request.sessions.current, request.sessions.past])
        for table in tables:
            for name, values in table.values.items():
                for session, part in zip(request.names.to_pylist(), np.split(values, table.offsets[1:-1]), strict=True):
                    rows.setdefault(session, {})[name] = part
    return rows


@pytest.fixture
def aware(train_on_shop):
    return train_on_shop(model_type="gru", session_aware=True)


def test_features_equal_those_of_the_day_files(aware, shop, day_rows):
    reader = Recommender.load(aware).event_reader(threads=1)
    with reader.opened_table(pq.read_table(shop / "log.parquet")) as found:
        rows = lists_by_session(reader, found)
    expected = day_rows("train")
    assert len(expected) > 100
    names = [feature.name for feature in reader.schema.columns]
    assert len(names) == 2 * 12 and "bef_relative_price" in names
    for row in expected:
        for name in names:
            found = rows[row["session_id"]][name]
            found = found if name.startswith("bef_") else found[-5:]
            np.testing.assert_allclose(found, row[name], atol=1e-6, err_msg=f"{row['session_id']} {name}")
    assert any(len(row["bef_product"]) for row in expected)


@pytest.fixture
def recommender(train_on_shop):
    return Recommender.load(train_on_shop(model_type="gru"), device="cpu")


def test_tables_of_other_libraries_give_the_same(recommender, shop):
    import polars as pl

    log = pq.read_table(shop / "log.parquet")
    expected = recommender.recommend(log, k=3)
    assert recommender.recommend(log.to_pandas(), k=3).equals(expected)
    assert recommender.recommend(pl.from_arrow(log), k=3).equals(expected)
    assert len(set(expected.column("session").to_pylist())) == 150


def test_what_is_not_known_is_counted(recommender):
    time = [pd.Timestamp("2024-01-08")] * 5
    sku, visit = ["sku-1", "sku-2", "new", "new", None], ["a", "a", "a", "b", "c"]
    events = pd.DataFrame({"visit": visit, "sku": sku, "time": time, "brand": ["A", "?", "?", "?", "?"]})
    table = recommender.recommend(events, k=2, fallback="popular")
    assert table.column("session").to_pylist() == ["a", "a", "b", "b"]
    assert table.column("is_fallback").to_pylist() == [False, False, True, True]
    counts = {name.decode(): int(count) for name, count in table.schema.metadata.items()}
    assert counts["events"] == 5 and counts["dropped_no_item"] == 1
    assert counts["unknown_items"] == 2 and counts["unknown_brand"] == 3
    assert counts["sessions"] == 2 and counts["sessions_without_known_item"] == 1


def test_a_run_that_learned_what_unknown_is_reads_unknown_items_and_values(train_on_shop):
    recommender = Recommender.load(train_on_shop(model_type="gru", unknown_share=0.5), device="cpu")
    time = [pd.Timestamp("2024-01-08")] * 3
    events = pd.DataFrame({"visit": ["a", "a", "b"], "sku": ["sku-1", "new", "new"], "time": time})
    table = recommender.recommend(events.assign(brand=["A", "A", "?"], category="c1"), k=2, exclude_seen=True)
    assert table.column("session").to_pylist() == ["a", "a", "b", "b"]
    assert table.column("is_fallback").to_pylist() == [False] * 4
    counts = {name.decode(): int(count) for name, count in table.schema.metadata.items()}
    assert counts["unknown_items"] == 2 and counts["sessions_without_known_item"] == 0
    other = recommender.recommend(events.assign(brand=["A", "A", "B"], category="c1"), k=2, exclude_seen=True)
    scores = [each.column("score").to_pylist() for each in (table, other)]
    assert scores[0][:2] == scores[1][:2] and scores[0][2:] != scores[1][2:]

    lists = recommender.scores([["sku-1", "new"], ["sku-1"], ["new"], []])
    assert not np.array_equal(lists[0], lists[1]) and np.isfinite(lists[2, 1:26]).all() and np.isnan(lists[3]).all()


def test_missing_columns_of_an_item_come_from_the_item_table(recommender, shop):
    log = pq.read_table(shop / "log.parquet").to_pandas()
    items = pq.read_table(shop / "days" / "items.parquet").to_pandas().set_index("raw")
    own = ["category", "brand", "weight", "price"]
    events = log.drop(columns=own)
    given = events.join(items[own], on="sku")
    expected = recommender.recommend(given, k=3)
    assert recommender.recommend(events, k=3).equals(expected)
    assert not recommender.recommend(events.assign(price=1.0), k=3).equals(expected)


def test_lists_of_ids_read_what_is_known_of_their_items(recommender, shop):
    """A list is a session whose events have no time: what depends on times reads 0."""
    skus = ["sku-3", "sku-4", "sku-9"]
    events = pd.DataFrame({"visit": ["a"] * 3, "sku": skus})
    from_events = recommender.recommend(events, k=5)
    from_ids = recommender.recommend([["?", *skus]], k=5)
    assert from_ids.column("item").equals(from_events.column("item"))
    np.testing.assert_allclose(from_ids.column("score"), from_events.column("score"), atol=1e-5)
    inputs = recommender._item_inputs.columns_of(np.array([2]))
    items = pq.read_table(shop / "days" / "items.parquet").to_pylist()[1]
    brands = pq.read_table(shop / "days" / "vocabulary" / "brand.parquet").to_pylist()
    assert inputs["brand"] == next(row["id"] for row in brands if row["raw"] == items["brand"])
    assert inputs["hour_sin"] == inputs["item_age"] == inputs["time_since_last"] == 0
    assert inputs["relative_price"] != 0


def test_lists_by_session_are_named(recommender, shop):
    log = pq.read_table(shop / "log.parquet")
    best = recommender.recommend(log, k=1).to_pandas().set_index("session").item
    table = recommender.recommend(log, k=1, exclude={"v000": [best["v000"]]}).to_pandas().set_index("session").item
    assert table["v000"] != best["v000"] and (table.drop("v000") == best.drop("v000")).all()
    with pytest.raises(InputError, match="`exclude`: with events, give one list, or a mapping"):
        recommender.recommend(log, exclude=[["sku-1"], ["sku-2"]])


def test_seen_items_are_all_those_of_the_session(recommender, shop):
    log = pq.read_table(shop / "log.parquet")
    found = recommender.recommend(log, k=25, exclude_seen=True).to_pandas()
    seen = log.to_pandas().groupby("visit").sku.agg(set)
    for session, lists in found.groupby("session"):
        assert not set(lists["item"]) & seen[session] and len(lists) == 25 - len(seen[session])


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_text_files_give_the_same_as_parquet(ending, recommender, shop, tmp_path):
    log = pq.read_table(shop / "log.parquet")
    path = tmp_path / f"log.{ending}"
    if ending == "csv":
        pa.csv.write_csv(log, path)
    else:
        log.to_pandas().to_json(path, orient="records", lines=True, date_format="iso")
    reader = recommender.event_reader()
    with reader.opened_files("csv" if ending == "csv" else "json", [str(path)]) as found:
        tables = [recommender.recommend_request(request, recommender.filters(3)) for request in reader.requests(found)]
    expected = recommender.recommend(log, k=3).replace_schema_metadata(None)
    assert pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).equals(expected)


def test_a_broken_line_and_a_time_that_is_none_are_told_in_words_of_ours(recommender, shop, tmp_path):
    rows = ["visit,user,sku,time", "a,u1,sku-1,2024-01-08T10:00:00", "a,u1,sku-2", "b,u1,sku-2,2024-01-08T10:00:00"]
    path, reader = tmp_path / "log.csv", recommender.event_reader()
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"log.csv, line 3: 3 values where 4 columns are expected .*; mend the line"):
        with reader.opened_files("csv", [str(path)]) as found:
            list(reader.requests(found))
    path.write_text("\n".join([*rows[:2], "a,u1,sku-2,nonsense", rows[3]]) + "\n")
    with reader.opened_files("csv", [str(path)]) as found:
        assert {name: count for name, count in found.counts.items() if name.startswith("dropped")} == {
            "dropped_no_time": 1
        }


def test_columns_without_a_value_are_unknown(recommender, shop):
    log = pq.read_table(shop / "log.parquet")
    without = log.drop_columns(["user", "brand"])
    typed, untyped = (
        without.append_column("user", pa.nulls(len(log), kind)).append_column("brand", pa.nulls(len(log), kind))
        for kind in (pa.string(), pa.null())
    )
    assert recommender.recommend(untyped, k=3).equals(recommender.recommend(typed, k=3))


def test_what_a_recipe_has_settled_is_not_advised_anew(recommender, tmp_path):
    (path := tmp_path / "log.csv").write_bytes("visit,user,sku,time\na,u1,caf\u00e9,2024-01-08\n".encode("cp1252"))
    with pytest.raises(InputError, match="give its `encoding`, such as cp1252; the run's recipe has settled that"):
        with recommender.event_reader().opened_files("csv", [str(path)]):
            pass


def test_events_without_a_needed_column_are_refused(recommender):
    with pytest.raises(InputError, match="no column 'sku', the `item_column` of the run; there are visit"):
        recommender.recommend(pd.DataFrame({"visit": ["a"]}))
    with pytest.raises(InputError, match="no column 'visit', the `session_column`"):
        recommender.recommend(pd.DataFrame({"sku": ["a"]}))


def test_no_event_gives_no_row(recommender, shop):
    table = recommender.recommend(pq.read_table(shop / "log.parquet")[:0])
    assert table.num_rows == 0 and table.column_names[0] == "session"
    events = pd.DataFrame({"visit": ["a"], "sku": ["new"], "time": [pd.Timestamp("2024-01-08")]})
    assert recommender.recommend(events).num_rows == 0


def test_the_command_reads_events(recommender, shop, tmp_path):
    log, output = shop / "log.parquet", tmp_path / "out.parquet"
    command.run({"run": str(tmp_path / "run"), "input": [str(log)], "output": str(output), "k": 3, "device": "cpu"})
    expected = recommender.recommend(pq.read_table(log), k=3)
    assert pq.read_table(output).equals(expected.replace_schema_metadata(None))
