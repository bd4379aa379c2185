import csv
import json

from transformers4recsys.comparison.contents import compare
from transformers4recsys.comparison.files import write_differences, write_json, write_values


def test_json_and_csv_hold_the_numbers(make_run, tmp_path):
    first = make_run("a", {"2026-01-02": [(1, 1, 5, 2, 0.5), (2, 1, 5, 2, 0.5)]})
    second = make_run("b", {"2026-01-02": [(1, 1, 5, 2, 0.75), (2, 1, 5, 2, 0.5)]})
    found = compare([first, second], ["ndcg@20"])
    write_json(found, tmp_path / "all.json")
    write_values(found, tmp_path / "values.csv")
    write_differences(found, tmp_path / "differences.csv")
    assert json.loads((tmp_path / "all.json").read_text())["differences"][0]["mean"] == 0.125
    assert (tmp_path / "values.csv").read_text().splitlines() == [
        "run,metric,day,value",
        "a,ndcg@20,2026-01-02,0.5",
        "a,ndcg@20,mean,0.5",
        "b,ndcg@20,2026-01-02,0.625",
        "b,ndcg@20,mean,0.625",
    ]
    with (tmp_path / "differences.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["run"], row["mean"], row["sessions"]) == ("b", "0.125", "2")
    # One of two sessions differs by .25: resampled means lie between 0 and .25.
    assert row["over_days_low"] == "" and (row["over_sessions_low"], row["over_sessions_high"]) == ("0.0", "0.25")
