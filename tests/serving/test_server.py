import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from fastapi.testclient import TestClient  # noqa: E402

from transformers4recsys.errors import InputError  # noqa: E402
from transformers4recsys.recommender import Recommender  # noqa: E402
from transformers4recsys.serving.server import BACKENDS, ServeSettings, app_of  # noqa: E402


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_server_gives_the_lists_of_the_recommender(run_train, backend):
    if backend == "onnx":
        pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    run = run_train(eval_on_last_item_seq_only=True)
    sessions = [[3, 7, 1], [5], [2, 9, 4, 8, 30], [999]]
    expected = Recommender.load(run).recommend(sessions, k=4, exclude_seen=True, fallback="popular").to_pylist()

    with TestClient(app_of(ServeSettings(run=str(run), backend=backend))) as client:
        answer = client.post("/recommend", json={"sessions": sessions, "k": 4, "exclude_seen": True}).json()
        page = client.get("/metrics").text

    items = [(each["item"], each["score"]) for session in answer["sessions"] for each in session["items"]]
    # Nothing is known of the last session, so nothing of it has been seen either.
    assert [item for item, _ in items] == [row["item"] for row in expected]
    assert [score for _, score in items] == pytest.approx([row["score"] for row in expected], abs=1e-6)
    assert [session["source"] for session in answer["sessions"]] == ["model"] * 3 + ["fallback"]
    assert "transformers4recsys_unknown_items_total 1.0" in page
    assert 'transformers4recsys_model{day="2019-10-02' in page


def test_a_new_day_is_taken_over(run_train, tmp_path):
    run = run_train("served", end_date="2019-10-02")
    later = run_train("later", end_date="2019-10-03")
    app = app_of(ServeSettings(run=str(run)))
    with TestClient(app) as client:
        first = client.get("/v2").json()["version"]
        shutil.rmtree(run)
        shutil.copytree(later, run)
        assert client.app.state.served.source.take_over()
        second = client.get("/v2").json()["version"]

    assert first.startswith("2019-10-01")
    assert second.startswith("2019-10-02")


def test_a_token_file_that_holds_no_token_is_refused(run_train, tmp_path):
    run = str(run_train())
    (tmp_path / "token").write_text("two words\n")
    with pytest.raises(InputError, match="must hold one token"):
        app_of(ServeSettings(run=run, token_file=str(tmp_path / "token")))
    with pytest.raises(InputError, match="cannot be read"):
        app_of(ServeSettings(run=run, token_file=str(tmp_path / "nowhere")))
