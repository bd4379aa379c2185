"""The notebooks run from the first cell to the last, and say what they promise."""

import json
from pathlib import Path

import pytest

from transformers4recsys.model.encoders import ENCODERS

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(name: str) -> dict[str, object]:
    """Run the code cells of a notebook as a kernel does; give their names."""
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "a notebook is kept without its results"
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), names)
    return names


def test_every_notebook_is_run_here():
    names = {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    assert names == {"own_log_to_recommendations.ipynb", "new_encoder.ipynb"}


def test_own_log_to_recommendations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("own_log_to_recommendations.ipynb")
    assert [row["day"] for row in names["days"].to_pylist()] == [f"2024-05-0{number}" for number in (1, 2, 3, 4)]
    assert names["recommender"].results.column("eval_recall@10").to_pylist()[-1] > 0.5
    rows = names["recommendations"].to_pylist()
    assert [row["session"] for row in rows] == ["a"] * 3 + ["b"] * 3
    assert [row["is_fallback"] for row in rows] == [False] * 3 + [True] * 3
    assert not {"sku-10", "sku-11"} & {row["item"] for row in rows[:3]}


def test_new_encoder():
    numbers = run("new_encoder.ipynb")["numbers"]
    assert numbers["recall@5"] > 0.9 > 2 * numbers["most_popular_recall@5"]
    assert numbers["unseen_label_share"] == 0


@pytest.fixture(autouse=True)
def without_new_encoders():
    before = set(ENCODERS)
    yield
    for name in set(ENCODERS) - before:
        del ENCODERS[name]
