"""A trained run, ready to recommend: raw item ids or raw events in, a table of raw item ids out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.outputs import SparseScores
from transformers4recsys.recommender.filters import Filters, ItemLists, RawIds
from transformers4recsys.recommender.indexes import INDEXES
from transformers4recsys.recommender.inference import Inference
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.item_inputs import ItemInputs
from transformers4recsys.recommender.lists import ListMaker, Part
from transformers4recsys.recommender.requests import Request, lists_of_ids, of_lists
from transformers4recsys.recommender.saved_model import saved_model
from transformers4recsys.reporting.result_files import DAYS_CSV
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.settings import choose

if TYPE_CHECKING:
    from transformers4recsys.recommender.events import EventReader

log = logging.getLogger(__name__)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Recommender:
    """What a run has learned, put to use.

    It recommends what evaluation ranks: the item after the whole given session, of which the last items count where
    it is longer than those that the model was trained on. Items without a training event are scored like all others
    (evaluation counts them as misses); padding and spare ids are never recommended. A raw id that the run does not
    know is left out, or read as an unknown item by a run trained with `unknown_share`; it is counted, in the log and
    in the metadata of the table.
    """

    def __init__(self, run: RunFolder, inference: Inference, item_ids: ItemIds):
        self._run, self._inference, self._item_ids = run, inference, item_ids
        self._lists = ListMaker(
            inference.item_table, inference.item_bias, item_ids, inference.model.item_counts.to(inference.device)
        )

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        model: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        index: str = "exact",
    ) -> Recommender:
        """Read the run folder `run`; the device is a GPU where there is one; `dtype` is that of products.

        `model` is the day of an earlier model, which `update` has kept. With `index` approximate, lists without
        candidates hold the best of the items that an index of them finds.
        """
        folder = RunFolder.open(run, model)
        chosen = torch.device(device) if device else torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if isinstance(dtype, str):
            dtype = choose(DTYPES, dtype, "dtype")
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
        recommender = cls(folder, inference, item_ids)
        choose(INDEXES, index, "index")(recommender, recommender._lists)
        return recommender

    @property
    def last_day(self) -> str:
        """The last day that the model was trained on."""
        return self._run.day_name

    @property
    def encoder_name(self) -> str:
        """What the encoder of the model is called."""
        model = self._run.settings["model"]
        return str(model.get("config_name") or model["model_type"])

    @property
    def inference(self) -> Inference:
        """The model, and how sessions go through it."""
        return self._inference

    @property
    def item_table(self) -> pa.Table | None:
        """The last known raw values of each item's own columns, where the run has them."""
        return self._run.item_table

    @property
    def results(self) -> pa.Table | None:
        """What the run was evaluated to, a row a day; None where it was not."""
        path = self._run.path / DAYS_CSV
        days_are_text = pyarrow.csv.ConvertOptions(column_types={"index": pa.string()})
        return pyarrow.csv.read_csv(path, convert_options=days_are_text) if path.is_file() else None

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
        table_VE = self._inference.model.item_table
        if table_VE is None:
            raise InputError(f"{self.encoder_name} is a baseline: it scores items without vectors of them")
        return table_VE.detach().float().cpu().numpy()

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
        request = None if isinstance(sessions, Table) else self.request(sessions)
        filters = self.filters(
            k,
            candidates,
            exclude,
            exclude_seen=exclude_seen,
            min_score=min_score,
            fallback=fallback,
            num_sessions=None if request is None else len(request.names),
        )
        if request is None:
            return self._recommend_events(pa.table(sessions), filters)
        return self.recommend_request(request, filters)

    def filters(
        self,
        k: int = 10,
        candidates: RawIds | None = None,
        exclude: RawIds | None = None,
        *,
        exclude_seen: bool = False,
        min_score: float | None = None,
        fallback: str = "none",
        num_sessions: int | None = None,
    ) -> Filters:
        """Check what is asked of the lists, and look its raw ids up; `num_sessions` where sessions are numbered."""
        looked_up = {
            name: None if ids is None else ItemLists.of(ids, self._item_ids, name=name, num_sessions=num_sessions)
            for name, ids in (("candidates", candidates), ("exclude", exclude))
        }
        for name, lists in looked_up.items():
            if lists and lists.num_unknown:
                log.warning("`%s`: ids that are not known to this run: %d", name, lists.num_unknown)
        return Filters(k, exclude_seen=exclude_seen, min_score=min_score, fallback=fallback, **looked_up)

    def event_reader(self, *, memory_limit: str = "3GB", threads: int = 0) -> EventReader:
        """Open what reads raw events as this run's own days were made, for sessions that come in parts."""
        from transformers4recsys.recommender.events import EventReader

        return EventReader(self._run, memory_limit=memory_limit, threads=threads)

    def _recommend_events(self, events: pa.Table, filters: Filters) -> pa.Table:
        reader = self.event_reader()
        with reader.opened_table(events) as found:
            tables = [self.recommend_request(request, filters) for request in reader.requests(found)]
            for name, count in found.counts.items():
                if count and name != "events":
                    log.warning("%s: %d of %d events", name.replace("_", " "), count, found.counts["events"])
        return one_table(tables, found.counts) if tables else self._lists.table(pa.array([], pa.string()), [])

    def recommend_request(self, request: Request, filters: Filters) -> pa.Table:
        """Give the table of `recommend` for sessions that have been looked up already."""
        parts: list[Part] = []
        first = 0
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
        }
        table = self._lists.table(request.names, parts)
        return table.replace_schema_metadata({name: str(count) for name, count in counts.items()})

    def scores(self, sessions: Sequence[Sequence[Any]]) -> np.ndarray:
        """Score all items after each session, (S, V); -inf for padding, NaN where a session has no known item."""
        request = self.request(sessions)
        hidden = self._inference.encode(request.sessions)
        return _in_places(request, map(self._inference.scores, hidden), width=len(self.item_bias))

    def encode(self, sessions: Sequence[Sequence[Any]]) -> np.ndarray:
        """Give the vector of each session, (S, D), that meets `item_vectors`; NaN where it has no known item."""
        width = self.item_vectors.shape[1]
        request = self.request(sessions)
        hidden = (part for part in self._inference.encode(request.sessions) if not isinstance(part, SparseScores))
        return _in_places(request, hidden, width=width)

    def request(self, sessions: Sequence[Sequence[Any]], names: Sequence[Any] | None = None) -> Request:
        """Look sessions of raw ids up; they are numbered where they have no `names`."""
        if isinstance(sessions, Table):
            raise InputError("`sessions`: give lists of raw item ids; tables of events are for `recommend`")
        keeps_unknown = self._inference.model.reads_unknown
        request = of_lists(lists_of_ids(sessions, self._item_ids), self._item_inputs, keeps_unknown=keeps_unknown)
        if request.num_unknown:
            what = "read as unknown" if keeps_unknown else "left out"
            log.warning("given items that are not known to this run, and are %s: %d", what, request.num_unknown)
        return request if names is None else replace(request, names=pa.array(names))

    @cached_property
    def _item_inputs(self) -> ItemInputs:
        schema = self._inference.schema
        return ItemInputs(schema, self._item_ids, self.event_reader if self._run.preprocessing else None)


def one_table(tables: Sequence[pa.Table], counts: Mapping[str, int]) -> pa.Table:
    """Put the parts of an answer together; their metadata are added up, and `counts` to them."""
    totals = Counter(counts)
    for table in tables:
        metadata: dict[bytes, bytes] = table.schema.metadata or {}
        totals.update({name.decode(): int(count) for name, count in metadata.items()})
    whole = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    return whole.replace_schema_metadata({name: str(count) for name, count in totals.items()})


def _in_places(request: Request, parts: Iterator[torch.Tensor], *, width: int) -> np.ndarray:
    """Put the rows of known sessions in their places among all, (S, `width`)."""
    rows = np.full((len(request.names), width), np.nan, dtype=np.float32)
    first = 0
    for part in parts:
        rows[request.known[first : first + len(part)]] = part.float().cpu().numpy()
        first += len(part)
    return rows


@runtime_checkable
class Table(Protocol):
    """A table of raw events; pandas, polars and arrow tables hand their columns out as arrow streams."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
