import json

import pytest

from transformers4recsys import cli


def test_a_run_beside_itself_does_not_differ(run_train, tmp_path, capsys):
    first = run_train("first", log_predictions=True)
    second = run_train("second", log_predictions=True)
    output = tmp_path / "page.html"
    assert cli.main(["report", str(first), str(second), "--output", str(output), "--metrics", "ndcg@20"]) == 0
    numbers = json.loads(output.with_suffix(".json").read_text())
    (each,) = numbers["differences"]
    assert each["mean"] == 0 and each["sessions"] > 0
    assert output.read_text().startswith("<!doctype html>")
    assert output.with_suffix(".csv").exists() and (tmp_path / "page_differences.csv").exists()
    assert f"the page is {output}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report which runs?"),
        (["RUN", "--metrics", "ndgc@20"], "did you mean ndcg@20?"),
        (["RUN", "RUN"], "the same folder is given twice"),
        (["RUN", "--output", "page.pdf"], "give a name that ends with .html"),
        (["RUN", "--output", "no/such/page.html"], "the folder no/such is not there"),
        (["nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named(run_train, monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    if "RUN" in arguments:
        run = str(run_train())
        arguments = [run if word == "RUN" else word for word in arguments]
    assert cli.main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err
