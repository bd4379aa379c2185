"""A trained run, ready to recommend: raw item ids or raw events in, a table of raw item ids out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.filters import Filters, ItemLists, RawIds
from transformers4recsys.recommender.inference import Inference
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.lists import ListMaker
from transformers4recsys.recommender.opened_run import RunFolder
from transformers4recsys.recommender.requests import Request, lists_of_ids, of_lists
from transformers4recsys.recommender.saved_model import saved_model

log = logging.getLogger(__name__)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Recommender:
    """What a run has learned, put to use.

    It recommends what evaluation ranks: the item after the whole given session, of which the last items count where
    it is longer than those that the model was trained on. Items without a training event are scored like all others
    (evaluation counts them as misses); padding and spare ids are never recommended. A raw id that the run does not
    know is left out and counted, in the log and in the metadata of the table.
    """

    def __init__(self, run: RunFolder, inference: Inference, item_ids: ItemIds):
        self._run, self._inference, self._item_ids = run, inference, item_ids
        self._lists = ListMaker(
            inference.item_table, inference.item_bias, item_ids, inference.model.item_counts.to(inference.device)
        )

    @classmethod
    def load(
        cls, run: str | Path, *, device: str | torch.device | None = None, dtype: str | torch.dtype = "float32"
    ) -> Recommender:
        """Read the run folder `run`; the device is a GPU where there is one; `dtype` is that of products."""
        folder = RunFolder.open(run)
        chosen = torch.device(device) if device else torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if isinstance(dtype, str):
            if dtype not in DTYPES:
                raise InputError(f"`dtype` {dtype!r}: choose one of {', '.join(DTYPES)}")
            dtype = DTYPES[dtype]
        data = folder.settings["data"]
        inference = Inference(
            saved_model(folder),
            session_length_max=data["session_seq_length_max"],
            past_length_max=data["session_aware_past_seq_length_max"],
            device=chosen,
            dtype=dtype,
        )
        item = folder.schema.item_id
        item_ids = ItemIds.from_vocabulary(folder.vocabularies.get(item.name), num_items=item.cardinality)
        return cls(folder, inference, item_ids)

    @property
    def last_day(self) -> str:
        """The last day that the model was trained on."""
        return str(self._run.progress["last_day"])

    @property
    def item_table(self) -> pa.Table | None:
        """The last known raw values of each item's own columns, where the run has them."""
        return self._run.item_table

    @property
    def item_ids(self) -> pa.Array:
        """The raw id behind each row of `item_vectors`, (V,); null for padding and for spare ids."""
        ids = np.arange(self._item_ids.num_items)
        has_one = self._item_ids.has_raw_id
        places = pa.array(np.cumsum(has_one) - 1, mask=~has_one)
        return self._item_ids.to_raw(ids[has_one]).take(places)

    @cached_property
    def item_vectors(self) -> np.ndarray:
        """The output vectors of all items, (V, D): the scores are `encode(...) @ item_vectors.T + item_bias`."""
        return self._inference.model.item_table.detach().float().cpu().numpy()

    @cached_property
    def item_bias(self) -> np.ndarray:
        """What is added to each item's score, (V,); -inf for padding."""
        return self._inference.item_bias.float().cpu().numpy()

    def recommend(
        self,
        sessions: Any,
        k: int = 10,
        *,
        exclude_seen: bool = False,
        candidates: RawIds | None = None,
        exclude: RawIds | None = None,
        min_score: float | None = None,
        fallback: str = "none",
    ) -> pa.Table:
        """Give the best `k` items for each session: columns session, rank (from 1), item, score, is_fallback.

        `sessions` are lists of raw item ids, oldest first, which are numbered from 0; or a pandas, polars or arrow
        table of raw events with the columns of the recipe, whose sessions keep their ids. `candidates` and `exclude`
        are raw ids: one list, or one a session (for events: a mapping from session id to list). A session without a
        known item gets no row, or with `fallback` popular the items most frequent in training.
        """
        request = self._request(sessions)
        num_sessions = None if isinstance(sessions, Table) else len(request.names)
        options = {"exclude_seen": exclude_seen, "min_score": min_score, "fallback": fallback}
        filters = Filters(
            k,
            candidates=self._item_lists(candidates, "candidates", num_sessions),
            exclude=self._item_lists(exclude, "exclude", num_sessions),
            **options,
        )
        return self.recommend_request(request, filters)

    def recommend_request(self, request: Request, filters: Filters) -> pa.Table:
        """Give the table of `recommend` for sessions that have been looked up already."""
        parts, first = [], 0
        names = request.names.to_pylist()
        seen = request.seen() if filters.exclude_seen else [()] * len(request.known)
        for hidden_BE in self._inference.encode(request.sessions):
            places = request.known[first : first + len(hidden_BE)]
            own_names = [names[place] for place in places]
            lists = self._lists.of_hidden(hidden_BE, own_names, seen[first : first + len(hidden_BE)], filters)
            parts.append((places, lists, False))
            first += len(hidden_BE)
        unknown = np.setdiff1d(np.arange(len(names)), request.known)
        if filters.fallback == "popular" and len(unknown):
            lists = self._lists.of_popularity([names[place] for place in unknown], filters)
            parts.append((unknown, lists, True))
        counts = {
            "sessions": len(names),
            "sessions_without_known_item": len(unknown),
            "unknown_items": request.num_unknown,
            "unknown_candidates": filters.candidates.num_unknown if filters.candidates else 0,
            "unknown_excluded": filters.exclude.num_unknown if filters.exclude else 0,
        }
        table = self._lists.table(request.names, parts)
        return table.replace_schema_metadata({name: str(count) for name, count in counts.items()})

    def scores(self, sessions: Any) -> np.ndarray:
        """Score all items after each session, (S, V); -inf for padding, NaN where a session has no known item."""
        request = self._request(sessions)
        return self._by_session(request, map(self._inference.scores, self._inference.encode(request.sessions)))

    def encode(self, sessions: Any) -> np.ndarray:
        """Give the vector of each session, (S, D), that meets `item_vectors`; NaN where it has no known item."""
        request = self._request(sessions)
        return self._by_session(request, self._inference.encode(request.sessions))

    def _by_session(self, request: Request, parts: Iterator[torch.Tensor]) -> np.ndarray:
        """Put rows of known sessions in their places."""
        known = [part.float().cpu().numpy() for part in parts]
        width = known[0].shape[1] if known else 0
        rows = np.full((len(request.names), width), np.nan, dtype=np.float32)
        if known:
            rows[request.known] = np.concatenate(known)
        return rows

    def _request(self, sessions: Any) -> Request:
        request = self._of_ids(sessions)
        if request.num_unknown:
            log.warning("%d of the given items are not known to this run; they are left out", request.num_unknown)
        return request

    def _of_ids(self, sessions: Any) -> Request:
        lists = lists_of_ids(sessions, self._item_ids)
        return of_lists(lists, item_column=self._run.schema.item_id.name)

    def _item_lists(self, given: RawIds | None, name: str, num_sessions: int | None) -> ItemLists | None:
        return None if given is None else ItemLists.of(given, self._item_ids, name=name, num_sessions=num_sessions)


@runtime_checkable
class Table(Protocol):
    """A table of raw events; pandas, polars and arrow tables hand their columns out as arrow streams."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
