"""Which items a session may be recommended: candidates, exclusions, and what the session holds already."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.item_ids import ItemIds, checked_lists, is_nested
from transformers4recsys.settings import choose

FALLBACKS = ("none", "popular")

# One list for all sessions; one a session, in their order; or one a session, by the session's id.
RawIds = Sequence[Any] | Mapping[Hashable, Sequence[Any]]


@dataclass(frozen=True)
class ItemLists:
    """Items by the model's ids: `shared` by all sessions, or a list for each, by number or by session id."""

    shared: tuple[int, ...] | None = None
    by_session: Mapping[Hashable, Sequence[int]] | None = None
    num_unknown: int = 0

    @classmethod
    def of(cls, given: RawIds, item_ids: ItemIds, *, name: str, num_sessions: int | None = None) -> ItemLists:
        """Look the raw ids up; those that the run does not know are counted and left out."""
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):  # pyright: ignore
            raise InputError(f"`{name}` {given!r}: give a list of raw item ids, or one list a session")
        if isinstance(given, Mapping):
            lists = item_ids.to_lists(checked_lists(given, name=name))
            return cls._by_session(dict(zip(given, lists, strict=True)))
        given = list(given)
        if not is_nested(given):
            ids = item_ids.to_ids(given)
            return cls(tuple(dict.fromkeys(filter(None, ids))), None, ids.count(0))
        if num_sessions is None:
            raise InputError(f"`{name}`: with events, give one list, or a mapping from session id to list")
        if len(given) != num_sessions:
            raise InputError(f"`{name}` has {len(given)} lists for {num_sessions} sessions; give one a session, or one")
        lists = item_ids.to_lists(checked_lists(dict(enumerate(given)), name=name))
        return cls._by_session(dict(enumerate(lists)))

    @classmethod
    def _by_session(cls, lists: Mapping[Hashable, list[int]]) -> ItemLists:
        num_unknown = sum(ids.count(0) for ids in lists.values())
        return cls(None, {session: list(filter(None, ids)) for session, ids in lists.items()}, num_unknown)

    def of_sessions(self, names: Iterable[Hashable]) -> list[Sequence[int]]:
        """Give the list of each session; one that is not named has none."""
        if self.by_session is None:
            return [self.shared or () for _ in names]
        # Files have the names of sessions as text.
        return [self.by_session.get(name, self.by_session.get(str(name), ())) for name in names]


@dataclass(frozen=True)
class Filters:
    """What is asked of the lists of some sessions."""

    k: int = 10
    exclude_seen: bool = False
    candidates: ItemLists | None = None
    exclude: ItemLists | None = None
    min_score: float | None = None
    fallback: str = "none"

    def __post_init__(self) -> None:
        if type(self.k) is not int or self.k < 1:
            raise InputError(f"`k` {self.k!r}: must be a whole number of at least 1")
        choose(dict.fromkeys(FALLBACKS), self.fallback, "fallback")
        if self.min_score is not None and not np.isfinite(self.min_score):
            raise InputError(f"`min_score` {self.min_score!r}: must be a number")

    def excluded(self, names: Sequence[Hashable], seen: Sequence[Sequence[int]]) -> list[Sequence[int]] | None:
        """List what each session must not be recommended; None where nothing is excluded."""
        if self.exclude is None and not self.exclude_seen:
            return None
        lists: list[Sequence[int]] = self.exclude.of_sessions(names) if self.exclude else [() for _ in names]
        if not self.exclude_seen:
            return lists
        return [[*of, *own] for of, own in zip(lists, seen, strict=True)]
