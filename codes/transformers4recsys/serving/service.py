"""From checked requests to answers: what waits together goes through the model together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from ibis.common.exceptions import IbisError

from transformers4recsys.errors import InputError, in_one_line
from transformers4recsys.serving.item_search import ItemSearch
from transformers4recsys.serving.requests import RecommendAnswer, Recommendation, RecommendRequest, SessionAnswer

TITLES = ("title", "name")
# What values of mixed types, or of none that the log has, lead to; each has these for a base.
UNREADABLE = (pa.ArrowException, duckdb.Error, IbisError, OverflowError, UnicodeError)


class Model(Protocol):
    """What answers: a Recommender, or the same model exported to ONNX."""

    @property
    def last_day(self) -> str: ...

    @property
    def item_table(self) -> pa.Table | None: ...

    @property
    def recommend(self) -> Callable[..., pa.Table]: ...


class Service:
    """One model with titles by raw item id; `on_unknown` is given the number of items that the model does not know."""

    def __init__(self, model: Model, *, on_unknown: Callable[[int], None] = lambda number: None):
        self.model, self.day, self._on_unknown = model, model.last_day, on_unknown
        self.titles = titles_of(model.item_table)

    @cached_property
    def _search(self) -> ItemSearch:
        """Made for the first who searches: most servers never are asked."""
        return ItemSearch(self.titles)

    def answer_all(self, requests: Sequence[RecommendRequest]) -> list[RecommendAnswer]:
        """Answer requests in as few passes as their candidates allow; each list has its own length and exclusions."""
        answers: dict[int, RecommendAnswer] = {}
        groups: dict[tuple[Any, ...] | None, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            if request.events is not None:
                answers[number] = self._answer_events(request)
            else:
                groups[None if request.candidates is None else tuple(request.candidates)].append(number)
        for candidates, numbers in groups.items():
            answers |= self._answer_sessions(candidates, {number: requests[number] for number in numbers})
        return [answers[number] for number in range(len(requests))]

    def _answer_sessions(
        self, candidates: tuple[Any, ...] | None, requests: Mapping[int, RecommendRequest]
    ) -> dict[int, RecommendAnswer]:
        sessions = [session for request in requests.values() for session in request.sessions or []]
        excluded = [each for request in requests.values() for each in request.excluded()]
        table = self.model.recommend(
            sessions,
            k=max(request.k for request in requests.values()),
            candidates=None if candidates is None else list(candidates),
            exclude=excluded if any(excluded) else None,
            fallback="popular",
        )
        lists = self._lists(table, len(sessions))
        answers, first = {}, 0
        for number, request in requests.items():
            own = lists[first : first + len(request.sessions or [])]
            cut = [each.model_copy(update={"items": each.items[: request.k]}) for each in own]
            answers[number] = RecommendAnswer(model=self.day, sessions=cut)
            first += len(own)
        return answers

    def _answer_events(self, request: RecommendRequest) -> RecommendAnswer:
        try:
            table = self.model.recommend(
                pa.Table.from_pylist(request.events or []),
                k=request.k,
                exclude_seen=request.exclude_seen,
                candidates=request.candidates,
                exclude=request.exclude,
                fallback="popular",
            )
        except UNREADABLE as error:
            raise InputError(f"events: they cannot be read: {in_one_line(error)}") from error
        names = list(dict.fromkeys(table.column("session").to_pylist()))
        lists = self._lists(table, len(names))
        named = [each.model_copy(update={"session": name}) for each, name in zip(lists, names, strict=True)]
        return RecommendAnswer(model=self.day, sessions=named)

    def _lists(self, table: pa.Table, num_sessions: int) -> list[SessionAnswer]:
        """Cut the table, whose rows come session by session, into lists; a session without a row has an empty one."""
        answers: dict[Any, SessionAnswer] = {}
        self._on_unknown(int((table.schema.metadata or {}).get(b"unknown_items", 0)))
        for row in table.to_pylist():
            answer = answers.setdefault(row["session"], SessionAnswer(items=[]))
            if row.get("is_fallback"):
                answer.source = "fallback"
            answer.items.append(
                Recommendation(item=row["item"], score=row["score"], title=self.titles.get(row["item"]))
            )
        if len(answers) == num_sessions:
            return list(answers.values())
        return [answers.get(number, SessionAnswer(items=[])) for number in range(num_sessions)]

    def warm_up(self) -> None:
        """Answer once, about any items that there are."""
        some = [item for item in list(self.titles)[:2] if item is not None]
        self.model.recommend([some], k=1)

    def find_items(self, text: str, limit: int) -> list[Recommendation]:
        """List items whose raw id or title holds `text`, whatever its case; the best matches come first."""
        found = self._search.find(text, limit)
        return [Recommendation(item=item, score=0, title=self.titles[item]) for item in found]


def titles_of(item_table: pa.Table | None) -> dict[Any, str]:
    """Give the title of each raw item id, empty where the item table has no column of titles."""
    if item_table is None:
        return {}
    name = next((name for name in TITLES if name in item_table.column_names), None)
    raw = item_table.column("raw").to_pylist()
    titles = item_table.column(name).to_pylist() if name else [""] * len(raw)
    return {item: str(title or "") for item, title in zip(raw, titles, strict=True)}
