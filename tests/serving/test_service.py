import pyarrow as pa
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from transformers4recsys.serving.requests import RecommendRequest  # noqa: E402
from transformers4recsys.serving.service import Service, titles_of  # noqa: E402

ITEMS = pa.table({"raw": [7, 8, 30], "name": ["red shoe", None, "a red hat"]})


class Counting:
    """Recommends as many items as asked for, 1, 2, ..., and keeps what it was asked."""

    last_day, item_table = "monday", ITEMS

    def __init__(self):
        self.calls = []

    def recommend(self, sessions, k=10, *, candidates=None, exclude=None, fallback="none"):
        self.calls.append((len(sessions), k, candidates, exclude))
        rows = [
            {"session": number, "rank": rank, "item": rank, "score": -float(rank)}
            for number in range(len(sessions))
            for rank in range(1, k + 1)
        ]
        return pa.Table.from_pylist(rows).replace_schema_metadata({"unknown_items": "2"})


def ask(**fields):
    return RecommendRequest.model_validate({"sessions": [["a"]], **fields})


def test_requests_with_the_same_candidates_share_a_pass_and_keep_their_own_lengths():
    model, unknown = Counting(), []
    service = Service(model, on_unknown=unknown.append)

    answers = service.answer_all([ask(k=2), ask(k=4, sessions=[["b"], ["c"]]), ask(k=1, candidates=["x"])])

    assert [[len(each.items) for each in answer.sessions] for answer in answers] == [[2], [4, 4], [1]]
    assert model.calls == [(3, 4, None, None), (1, 1, ["x"], None)]
    assert unknown == [2, 2]


def test_exclusions_are_those_of_each_session():
    model = Counting()
    Service(model).answer_all([ask(exclude_seen=True), ask(sessions=[["b"], ["c"]], exclude=["z"])])

    assert model.calls == [(3, 10, None, [["a"], ["z"], ["z"]])]


def test_titles_come_from_a_column_of_that_meaning():
    assert titles_of(ITEMS) == {7: "red shoe", 8: "", 30: "a red hat"}
    assert titles_of(pa.table({"raw": ["x"], "price": [1.0]})) == {"x": ""}
    assert titles_of(None) == {}


def test_items_that_begin_with_the_text_come_first():
    assert [each.item for each in Service(Counting()).find_items("RED", 5)] == [7, 30]
    assert [each.item for each in Service(Counting()).find_items("8", 5)] == [8]
