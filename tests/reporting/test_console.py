"""The table at the end: what it shows, and that it fits."""

from rich.console import Console

from transformers4recsys.outputs import Report
from transformers4recsys.reporting.console import COLUMNS, COMPARED, ResultTable, summary
from transformers4recsys.reporting.result_files import ResultFiles

EMPTY = dict.fromkeys(COLUMNS)


def numbers(value: float) -> dict[str, float]:
    return dict.fromkeys(COLUMNS, value) | {"eval_loss": 10 * value}


def shown(days, folder, width=80) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(summary(days, folder))
    return capture.get().splitlines()


def cells(lines: list[str], start: str) -> list[str]:
    (line,) = [line for line in lines if line.strip().startswith(start)]
    return line.split()


def test_a_row_a_day_and_the_mean_over_days_with_data(tmp_path):
    days = {"2019-10-02": numbers(0.25), "2019-10-03": EMPTY, "2019-10-04": numbers(0.5)}
    lines = shown(days, tmp_path)
    assert cells(lines, "2019-10-02")[1:] == ["2.5000"] + ["0.2500"] * (len(COLUMNS) - 1)
    assert cells(lines, "2019-10-03")[1:] == ["-"] * len(COLUMNS)
    assert cells(lines, "mean of 2")[3:] == ["3.7500"] + ["0.3750"] * (len(COLUMNS) - 1)
    assert any("no session of two or more items" in line for line in lines)


def test_nothing_is_cut_off_at_80_characters(tmp_path):
    lines = shown({"2019-10-02-13": numbers(1.0)}, tmp_path)
    assert max(len(line) for line in lines) <= 80
    assert not any("…" in line for line in lines)
    assert sum(line.split().count("popular") for line in lines) == 2


def test_baselines_stand_below_the_model_with_their_means(tmp_path):
    names = [f"eval_{name}{metric}" for name in ("", "most_popular_", "rules_") for metric in COMPARED]
    days = {
        f"2019-10-0{day}": dict(zip(names, [(14 - n) / 100 * day for n in range(15)], strict=True)) for day in (1, 3)
    }
    lines = shown(days, tmp_path)
    assert cells(lines, "this model")[2:] == ["0.2800", "0.2600", "0.2400", "0.2200", "0.2000"]
    assert cells(lines, "rules")[1:] == ["0.0800", "0.0600", "0.0400", "0.0200", "0.0000"]
    assert max(len(line) for line in lines) <= 80
    assert not any("this model" in line for line in shown({"2019-10-02": numbers(1.0)}, tmp_path))


def test_columns_no_day_has_are_left_out(tmp_path):
    lines = shown({"2019-10-02": {"eval_loss": 1.0, "eval_recall@20": 0.5}}, tmp_path)
    assert cells(lines, "2019-10-02")[1:] == ["1.0000", "0.5000"]
    assert not any("popular" in line for line in lines)


def test_files_that_are_there_are_named(tmp_path):
    folder = tmp_path / "[run]"
    folder.mkdir()
    (folder / "log.json").touch()
    text = "\n".join(shown({}, folder, width=200))
    assert str(folder) in text
    assert "log.json" in text
    assert "pred_logs" not in text


def test_a_run_that_goes_on_shows_all_its_days(tmp_path, capsys):
    ResultFiles(tmp_path).numbers(Report("2019-10-02", "eval", numbers(0.5)))
    table = ResultTable(tmp_path)
    table.numbers(Report("2019-10-03", "eval", numbers(0.25)))
    table.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert [cells(lines, day)[2] for day in ("2019-10-02", "2019-10-03")] == ["0.5000", "0.2500"]
    assert cells(lines, "mean of 2")[4] == "0.3750"
