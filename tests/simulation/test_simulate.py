"""The made-up log: reproducible, in REES46's columns, and worth learning from."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.simulation.shop import Shop
from transformers4recsys.simulation.simulate import SimulateSettings, event_table, simulate

SMALL = {"sessions_per_day": 1500, "items": 400, "start_date": "2019-10-01"}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    return [pq.read_table(path) for path in simulate(SimulateSettings(folder, days=4, seed=1, **SMALL))]


def views_by_session(tables):
    """Sessions of product ids in order of time, without repeats in a row."""
    events = pa.concat_tables(tables).to_pydict()
    sessions = {}
    for kind, session, product in zip(events["event_type"], events["user_session"], events["product_id"], strict=True):
        clicks = sessions.setdefault(session, [])
        if kind == "view" and (not clicks or clicks[-1] != product):
            clicks.append(product)
    return list(sessions.values())


def test_files_have_the_columns_of_the_published_log_by_time(log):
    names = "event_time event_type product_id category_id category_code brand price user_id user_session".split()
    for number, table in enumerate(log):
        assert table.column_names == names
        times = table["event_time"].to_numpy()
        assert (np.diff(times) >= np.timedelta64(0)).all()
        assert set(times.astype("datetime64[D]")) == {np.datetime64("2019-10-01") + number}
    kinds = Counter(pa.concat_tables(log)["event_type"].to_pylist())
    assert kinds["view"] > kinds["cart"] > kinds["purchase"] > 0


def test_the_seed_decides_and_fewer_days_are_the_first_ones(log, tmp_path):
    two = [pq.read_table(path) for path in simulate(SimulateSettings(tmp_path / "two", days=2, seed=1, **SMALL))]
    assert all(again.equals(first) for again, first in zip(two, log, strict=False))
    other = pq.read_table(simulate(SimulateSettings(tmp_path / "other", days=1, seed=2, **SMALL))[0])
    assert not other.equals(log[0])


def test_a_product_has_one_category_brand_and_price_and_is_never_seen_before_its_launch(log):
    table = pa.concat_tables(log)
    facts = table.group_by(["product_id"]).aggregate(
        [(name, "count_distinct") for name in ("category_id", "category_code", "brand", "price")]
    )
    for name in ("category_id", "price"):
        assert set(facts[f"{name}_count_distinct"].to_pylist()) == {1}
    assert max(facts["brand_count_distinct"].to_pylist()) == 1
    seen, new_a_day = set(), []
    for day in log:
        products = set(day["product_id"].to_pylist())
        new_a_day.append(len(products - seen))
        seen |= products
    assert all(new >= 2 for new in new_a_day[1:]) and len(seen) <= 400
    assert max(seen) > 400


def test_a_session_belongs_to_one_user_and_users_return(log):
    pairs = pa.concat_tables(log).group_by(["user_session"]).aggregate([("user_id", "count_distinct")])
    assert set(pairs["user_id_count_distinct"].to_pylist()) == {1}
    sessions = pa.concat_tables(log).group_by(["user_id"]).aggregate([("user_session", "count_distinct")])
    assert max(sessions["user_session_count_distinct"].to_pylist()) >= 4


def test_sequence_tells_more_than_popularity(log):
    train, test = views_by_session(log[:3]), views_by_session(log[3:])
    popular = {product for product, _ in Counter(p for s in train for p in s).most_common(10)}
    following = {}
    for session in train:
        for product, after in zip(session, session[1:], strict=False):
            following.setdefault(product, Counter())[after] += 1
    rules = {product: {after for after, _ in counts.most_common(10)} for product, counts in following.items()}
    targets = [pair for session in test for pair in zip(session, session[1:], strict=False)]
    by_popularity = np.mean([after in popular for _, after in targets])
    by_rules = np.mean([after in rules.get(product, ()) for product, after in targets])
    assert 0.03 < by_popularity < 0.25
    assert by_rules > 2 * by_popularity
    lengths = np.array([len(session) for session in test])
    assert 3 < lengths.mean() < 6 and (lengths <= 2).mean() > 0.3 and lengths.max() > 15
    returns = np.mean([len(set(session)) < len(session) for session in test if len(session) > 3])
    assert returns > 0.2


def test_evenings_are_busier_than_nights(log):
    hours = Counter(time.hour for time in pa.concat_tables(log)["event_time"].to_pylist())
    assert hours[20] > 4 * hours[3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": 0}, "`days` 0: must be at least 1"),
        ({"items": 3}, "`items` 3: must be at least 50"),
        ({"seed": -1}, "`seed` -1: must be at least 0"),
        ({"start_date": "1.10.2019"}, "`start_date` '1.10.2019' is not a valid date"),
        ({"start_date": "9999-12-30", "days": 2}, "`start_date` 9999-12-30 `days` 2: dates end at 9999-12-31"),
    ],
)
def test_settings_that_make_no_log_are_refused(change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        simulate(SimulateSettings(tmp_path, **{"days": 1, "seed": 0, **SMALL, **change}))


def test_a_session_over_midnight_goes_on_in_the_next_file(log):
    shop = Shop(num_products=SMALL["items"], sessions_per_day=SMALL["sessions_per_day"], seed=1)
    drawn = [event_table(shop, shop.clicks(number), number, date(2019, 10, 1 + number)) for number in (1, 2)]
    midnight = datetime(2019, 10, 3, tzinfo=UTC)
    late = [event for event in drawn[0].to_pylist() if event["event_time"] >= midnight]
    assert late and all(event in log[2].to_pylist() for event in late)
    early = [event for event in drawn[1].to_pylist() if event["event_time"] < midnight + timedelta(days=1)]
    assert log[2].num_rows == len(late) + len(early)


def test_a_file_that_fails_is_not_there_and_those_before_are_whole(tmp_path):
    (tmp_path / "2019-10-02.parquet").mkdir()
    with pytest.raises(InputError, match="`output` .*2019-10-02.parquet"):
        simulate(SimulateSettings(tmp_path, days=3, seed=0, **SMALL))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2019-10-01.parquet", "2019-10-02.parquet"]
    assert pq.read_table(tmp_path / "2019-10-01.parquet").num_rows > 1500


def test_a_log_is_written_again_or_made_longer_but_never_mixed_with_another(tmp_path):
    for days in (1, 2, 2):
        simulate(SimulateSettings(tmp_path, days=days, seed=0, **SMALL))
    with pytest.raises(InputError, match=r"holds other parquet files \(2019-10-02.parquet\)"):
        simulate(SimulateSettings(tmp_path, days=1, seed=3, **SMALL))


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "log").write_text("")
    with pytest.raises(InputError, match="`output`"):
        simulate(SimulateSettings(tmp_path / "log", days=1, seed=0, **SMALL))
