"""Recipes by name, each on a few rows in the format in which the data set is published."""

import json

import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import shipped
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess

REES46 = """event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde
2019-10-01 00:00:05 UTC,cart,3900821,2053013552326770905,appliances.kettle,aqua,33.20,541312140,72d76fde
2019-10-01 23:59:59 UTC,view,17200506,2053013559792632471,furniture.living_room.sofa,,543.10,519107250,566511c2
"""
YOOCHOOSE = """1,2014-04-07T10:51:09.277Z,214536502,0
1,2014-04-07T10:54:09.868Z,214536500,S
1,2014-04-07T10:54:46.998Z,214536506,0
2,2014-04-07T13:56:37.614Z,214662742,0
"""
DIGINETICA = """sessionId;userId;itemId;timeframe;eventdate
1;NA;81766;526309;2016-05-09
1;NA;31331;1031018;2016-05-09
1;NA;32118;243569;2016-05-09
2;NA;9654;75848;2016-05-09
"""
RETAILROCKET = """timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433221332117,257597,addtocart,248676,
1433223132118,257597,transaction,318965,234
1433224214164,992329,view,248676,
"""
G1 = (
    "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,click_environment,"
    "click_deviceGroup,click_os,click_country,click_region,click_referrer_type\n"
)
G1_CLICKS = """0,1506825423271737,1506825423000,2,157541,1506826828020,4,3,20,1,20,2
0,1506825423271737,1506825423000,2,68866,1506826858020,4,3,20,1,20,2
"""
ADRESSA = [
    {"eventId": 1, "time": 1483225202, "userId": "cx:a", "url": "http://adressa.no", "sessionStart": True},
    {"eventId": 2, "time": 1483225210, "userId": "cx:a", "id": "b5fe", "category1": "nyheter|trondheim"},
    {"eventId": 3, "time": 1483225260, "userId": "cx:a", "id": "77aa", "profile": [{"item": "0", "groups": []}]},
    {"eventId": 4, "time": 1483227061, "userId": "cx:a", "id": "77aa", "deviceType": "Mobile"},
]
# Users 1 and 2 and movies 1 to 5 have five ratings or more; movie 6 has one, and user 3 then has none.
LOVED = [(user, (1, 2, 3, 4, 5)[(turn + user) % 5], 978300760 + turn) for turn in range(15) for user in (1, 2)]
RATINGS = [*LOVED, (3, 6, 978300700)]
MOVIES = [str((1, 2, 3, 4, 5)[(turn + 1) % 5]) for turn in range(15)]
BEAUTY = [(f"A{user}", f"B000{item}", 1369699200 + 86400 * (time - 978300760)) for user, item, time in LOVED]
# Of each data set: its files, the hour or day of the sessions, their raw items, and the events dropped.
PUBLISHED = {
    "rees46": ({"2019-Oct.csv": REES46}, "2019-10-01", [["44600062", "3900821"]], {"in_a_short_session": 1}),
    "ecommerce-large": ({"2019-Oct.csv": REES46}, "2019-10-01", [["44600062", "3900821"]], {"in_a_short_session": 1}),
    "yoochoose": (
        {"yoochoose-clicks.dat": YOOCHOOSE, "yoochoose-buys.dat": "1,2014-04-07T10:51:09.277Z,214536502,12462,1\n"},
        "2014-04-07",
        [["214536502", "214536500", "214536506"]],
        {"in_a_short_session": 1},
    ),
    "diginetica": (
        {"train-item-views.csv": DIGINETICA, "products.csv": "itemId;pricelog2;product.name.tokens\n1;2;3\n"},
        "2016-05-09",
        [["32118", "81766", "31331"]],
        {"in_a_short_session": 1},
    ),
    # The third event comes 30 minutes and a millisecond after the two of one time, which go by their item.
    "retailrocket": (
        {"events.csv": RETAILROCKET, "category_tree.csv": "categoryid,parentid\n1016,213\n"},
        "2015-06-02",
        [["248676", "355908"]],
        {"in_a_short_session": 2},
    ),
    "g1": (
        {
            "clicks/clicks_hour_000.csv": G1 + G1_CLICKS,
            "clicks/clicks_hour_100.csv": G1,
            "articles_metadata.csv": "a\n",
        },
        "2017-10-01-03",
        [["157541", "68866"]],
        {},
    ),
    "adressa": (
        {"one_week/20170101": "".join(json.dumps(line) + "\n" for line in ADRESSA), "README.txt": "-"},
        "2016-12-31-23",
        [["b5fe", "77aa"]],
        {"no_item": 1, "in_a_short_session": 1},
    ),
    "movielens": (
        {
            "ml-1m/ratings.dat": "".join(f"{u}::{m}::5::{t}\n" for u, m, t in RATINGS),
            "ml-1m/users.dat": "1::F::1::10::48067",
        },
        "2000-01-01",
        [MOVIES[:13], [str(int(m) % 5 + 1) for m in MOVIES[:13]]],
        {"outside_the_core": 1},
    ),
    "movielens-csv": (
        {"ratings.csv": "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},3.5,{t}\n" for u, m, t in RATINGS)},
        "2000-01-01",
        [MOVIES[:13], [str(int(m) % 5 + 1) for m in MOVIES[:13]]],
        {"outside_the_core": 1},
    ),
    "amazon": (
        {"ratings_Beauty.csv": "".join(f"{u},{i},5.0,{t}\n" for u, i, t in BEAUTY)},
        "2000-01-01",
        [[f"B000{m}" for m in MOVIES[:13]], [f"B000{int(m) % 5 + 1}" for m in MOVIES[:13]]],
        {},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_reads_the_published_format(name, tmp_path):
    files, day, sessions, dropped = PUBLISHED[name]
    for file, text in files.items():
        path = tmp_path / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    recipe = read_recipe(name)
    counts = preprocess(
        LogSettings(tmp_path / "data", tmp_path / "days", report=True),
        recipe,
        DatabaseChoice(memory_limit="500MB", threads=1),
    )
    report = json.loads((tmp_path / "days" / "report.json").read_text())
    assert report["adds_up"] and report["leaks"]["is_ok"]
    item = recipe.output_name("item_id")
    raw = {row["id"]: row["raw"] for row in pq.read_table(tmp_path / "days" / f"vocabulary/{item}.parquet").to_pylist()}
    rows = pq.read_table(tmp_path / "days" / f"session_start_date={day}-train.parquet").to_pylist()
    assert [[raw[i] for i in row[item]] for row in rows] == sessions
    assert counts["events_dropped"] == dropped


def test_every_recipe_that_ships_has_a_page_that_says_how_it_is_called():
    assert {*PUBLISHED, "eshop2008"} <= set(shipped.names())
    for name in shipped.names():
        page = (shipped.folder() / name / "README.md").read_text()
        assert f"transformers4recsys preprocess --recipe {name} " in page


def test_a_name_or_a_path_leads_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rees46").mkdir()
    (tmp_path / "mine").write_text("")
    assert shipped.path_of("rees46") == shipped.folder() / "rees46" / "preprocessing.yaml"
    assert [str(shipped.path_of(path)) for path in ("mine", "rees46.yaml", "logs/rees46")] == [
        "mine",
        "rees46.yaml",
        "logs/rees46",
    ]


def test_an_unknown_name_is_an_error_that_lists_those_there_are():
    with pytest.raises(
        InputError, match="`recipe` yoochose: .* did you mean yoochoose.* adressa, .*diginetica, .*rees46"
    ):
        read_recipe("yoochose")


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    inside = tmp_path / "datasets" / "mine" / "preprocessing.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path)
    assert shipped.names() == ["mine"] and shipped.path_of("mine") == inside
