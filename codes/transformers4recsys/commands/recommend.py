"""Recommends from a run folder: raw events or raw item ids in, raw item ids out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, from_values, required, setting

if TYPE_CHECKING:
    import pyarrow as pa

    from transformers4recsys.recommender import Recommender
    from transformers4recsys.recommender.filters import Filters

log = logging.getLogger(__name__)
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class RecommendSettings:
    """Recommend: raw events or item ids in; session, rank, item and score out"""

    run: str | None = setting(None, "output folder of a finished run")
    model: str | None = setting(None, "day of an earlier model that update has kept; the newest without it")
    input: tuple[str, ...] | None = setting(
        None,
        "raw events with the columns of the training log (files, patterns or folders of parquet, CSV or JSON lines), "
        "or sessions with a list `items` of raw ids (parquet, JSON lines); - for standard input",
    )
    items: tuple[str, ...] | None = setting(None, "raw item ids of one session, oldest first, in place of `input`")
    output: str = setting("-", "file of the recommendations, parquet, CSV or JSON lines; - for standard output")
    input_format: str | None = setting(
        None,
        "what the input is; without it, names say so, or how standard input begins",
        choices=("parquet", "csv", "json"),
    )
    output_format: str | None = setting(
        None,
        "what the output is; without it, its name says so, and standard output is CSV",
        choices=("parquet", "csv", "jsonl"),
    )
    k: int = setting(10, "length of each list", at_least=1)
    exclude_seen: bool = setting(False, "leave out the items that the session holds already")
    candidates: str | None = setting(
        None,
        "file of the only raw ids to recommend: an id a line, or a table (parquet, CSV, JSON lines) with a column "
        "item, and session where each has candidates of its own",
    )
    exclude: str | None = setting(None, "file of raw ids never to recommend, as `candidates`")
    min_score: float | None = setting(None, "leave out items with a lower score")
    fallback: str = setting(
        "none", "what a session without a known item gets, marked by is_fallback", choices=("none", "popular")
    )
    index: str = setting(
        "exact",
        "how the best items are found: exact scores all; approximate searches an index of them (needs usearch), for "
        "catalogues of more than some 100,000",
        choices=("exact", "approximate"),
    )
    device: str | None = setting(None, "device of the model, such as cpu or cuda; a GPU where there is one")
    dtype: str = setting("float32", "precision of products", choices=("float32", "bfloat16", "float16"))
    engine: str = setting(
        "local",
        "where the work is done: local, in this process; spark, on a cluster, parquet in and out, a model a worker",
        choices=("local", "spark"),
    )
    spark_master: str | None = setting(
        None,
        "Spark master, such as local[8] or spark://host:7077; without it, as spark-submit says",
        used_if=lambda settings: settings.engine == "spark",
        unused_because="`engine` is local",
    )
    memory_limit: str = setting("3GB", "memory to prepare events in; what does not fit goes to the disk", is_bytes=True)
    threads: int = setting(0, "threads that prepare events; 0 for one a core", at_least=0)

    def __post_init__(self) -> None:
        check(self)


SETTINGS = RecommendSettings


def run(values: Mapping[str, Any]) -> None:
    """Recommend as the settings ask, given by name."""
    settings = from_values(RecommendSettings, values)
    required(settings, "run")
    if bool(settings.input) == bool(settings.items):
        raise InputError("give either `input`, a file of events or sessions, or `items`, the raw ids of one session")
    # What can be wrong is found before the model is loaded.
    from transformers4recsys.recommender.answer_files import answer_file, format_of

    output_format, lists = format_of(settings.output, settings.output_format), _item_lists(settings)
    if settings.engine == "spark":
        _run_on_spark(settings, output_format, lists)
        return
    from transformers4recsys.recommender import Recommender

    recommender = Recommender.load(
        settings.run or "",
        model=settings.model,
        device=settings.device,
        dtype=settings.dtype,
        index=settings.index,
    )
    filters = recommender.filters(
        settings.k,
        **lists,
        exclude_seen=settings.exclude_seen,
        min_score=settings.min_score,
        fallback=settings.fallback,
    )
    counts: Counter[str] = Counter()
    with answer_file(settings.output, settings.output_format) as write:
        is_empty = True
        for table in _answers(recommender, filters, settings, counts):
            counts["rows"] += len(table)
            counts.update({name.decode(): int(count) for name, count in (table.schema.metadata or {}).items()})
            write(table)
            is_empty = False
        if is_empty:
            # The names of the columns, even where there is nothing else.
            write(recommender.recommend([]))
    _report(counts, settings)


def _run_on_spark(settings: RecommendSettings, output_format: str, lists: Mapping[str, Any]) -> None:
    from transformers4recsys.recommender.spark import recommend_on_spark

    if STANDARD_INPUT in (settings.input or ()) or not settings.input or output_format != "parquet":
        raise InputError("`engine` spark reads and writes parquet: give files as `input`, and an `output` in .parquet")
    if settings.index != "exact":
        raise InputError("`engine` spark makes exact lists; leave `index` out")
    with ExitStack() as stack:
        kind, files = _input_files(settings, stack)
    if kind != "parquet":
        raise InputError(f"`engine` spark reads and writes parquet, and `input` is {kind}; leave `engine` out")
    options = {"k": settings.k, "exclude_seen": settings.exclude_seen, "fallback": settings.fallback}
    options |= {"min_score": settings.min_score, **lists}
    how = {"model": settings.model, "dtype": settings.dtype, "master": settings.spark_master}
    recommend_on_spark(settings.run or "", files, settings.output, options, **how)
    log.info("%s: recommendations as a folder of parquet files", settings.output)


def _item_lists(settings: RecommendSettings) -> dict[str, Any]:
    from transformers4recsys.recommender.session_files import read_item_lists

    files = {"candidates": settings.candidates, "exclude": settings.exclude}
    return {name: read_item_lists(path, name=name) for name, path in files.items() if path}


def _answers(
    recommender: Recommender, filters: Filters, settings: RecommendSettings, counts: Counter[str]
) -> Iterator[pa.Table]:
    """Give the tables of recommendations, one after the other."""
    if settings.items:
        yield recommender.recommend_request(recommender.request([settings.items]), filters)
        return
    from transformers4recsys.recommender.session_files import holds_sessions

    with ExitStack() as stack:
        kind, files = _input_files(settings, stack)
        if holds_sessions(kind, files[0]):
            yield from _answers_to_sessions(recommender, filters, kind, files)
        else:
            yield from _answers_to_events(recommender, filters, settings, counts, kind=kind, files=files)


def _input_files(settings: RecommendSettings, stack: ExitStack) -> tuple[str, list[str]]:
    from transformers4recsys.preprocessing.raw_files import raw_files
    from transformers4recsys.recommender.session_files import format_by_content, save_standard_input

    if STANDARD_INPUT not in (settings.input or ()):
        # No output folder is in the way of the input.
        return raw_files(settings.input or (), output=Path(settings.output), file_format=settings.input_format)
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="transformers4recsys-")))
    path = save_standard_input(folder)
    return settings.input_format or format_by_content(path), [str(path)]


def _answers_to_sessions(
    recommender: Recommender, filters: Filters, kind: str, files: Sequence[str]
) -> Iterator[pa.Table]:
    from transformers4recsys.recommender.session_files import sessions_of

    for file in files:
        for names, sessions in sessions_of(kind, file):
            yield recommender.recommend_request(recommender.request(sessions, names), filters)


def _answers_to_events(
    recommender: Recommender,
    filters: Filters,
    settings: RecommendSettings,
    counts: Counter[str],
    *,
    kind: str,
    files: Sequence[str],
) -> Iterator[pa.Table]:
    from transformers4recsys.terminal import counted, progress_bar

    reader = recommender.event_reader(memory_limit=settings.memory_limit, threads=settings.threads)
    log.info("reading %s of events", counted(len(files), "file"))
    with reader.opened_files(kind, files) as found:
        counts.update(found.counts)
        with progress_bar("recommend", found.num_sessions) as advance:
            for request in reader.requests(found):
                yield recommender.recommend_request(request, filters)
                _advance(advance, len(request.names))


def _advance(advance: Callable[[], None], number: int) -> None:
    for _ in range(number):
        advance()


def _report(counts: Mapping[str, int], settings: RecommendSettings) -> None:
    from transformers4recsys.terminal import counted

    if settings.output != "-":
        rows, sessions = counted(counts["rows"], "recommendation"), counted(counts["sessions"], "session")
        log.info("%s: %s for %s", settings.output, rows, sessions)
    told = {name: count for name, count in counts.items() if count and name not in ("rows", "sessions", "events")}
    for name, count in told.items():
        if name == "sessions_without_known_item":
            what = "get the most popular items" if settings.fallback == "popular" else "get nothing"
            log.warning("without a known item: %d of %s; they %s", count, counted(counts["sessions"], "session"), what)
        elif name != "unknown_items" or "events" in counts:
            log.warning("%s: %d of %s", name.replace("_", " "), count, counted(counts.get("events", 0), "event"))
