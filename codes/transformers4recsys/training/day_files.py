"""The day files of a run: found, checked, and opened to train, to evaluate and to count."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from transformers import TrainingArguments

from transformers4recsys import distributed
from transformers4recsys.data.checks import CheckedFile, add_moments, check_files, count_items
from transformers4recsys.data.days import DayFiles, DaySettings
from transformers4recsys.data.readers import ReaderSettings
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.schema import Schema, SessionSettings
from transformers4recsys.settings import part
from transformers4recsys.terminal import counted
from transformers4recsys.training.incremental import DayReaders, Protocol

log = logging.getLogger(__name__)
# Sessions that baselines read together.
ROWS_TO_COUNT = 65_536


@dataclass(frozen=True)
class DataSettings:
    """Where the sessions are and how they are read."""

    days: DaySettings = part(DaySettings)
    sessions: SessionSettings = part(SessionSettings)
    reader: ReaderSettings = part(ReaderSettings)


def found_days(data: DataSettings, protocol: Protocol, *, does_train: bool) -> tuple[DayFiles, list[str]]:
    """Find the files of all days, and list every one that the run reads; InputError where one is missing."""
    library = data.reader.library
    if library:
        library.check_usable(data.days.data_path or "")
    trains_on_last = does_train and protocol.train_on_last_day
    days = data.days.files(protocol.eval_split, trains_on_last=trains_on_last)
    files = days.all_files()
    if protocol.validation_split != protocol.eval_split:
        days, files = days.with_split(data.days.files(protocol.validation_split, trains_on_last=trains_on_last))
    for day in days.missing:
        log.warning("%s: files are missing; the run goes on without them", days.unit.name(day))
    return days, files


def checked_files(
    days: DayFiles, files: Sequence[str], data: DataSettings, schema: Schema, protocol: Protocol, *, does_train: bool
) -> Mapping[str, CheckedFile]:
    """Read each file of the days once; InputError on one that cannot be used."""
    log.info("checking the files of %s", counted(len(days.present), data.days.time_unit))
    checked = check_files(files, schema, session_length_max=data.sessions.session_seq_length_max)
    if data.reader.library:
        together = days.read_together(protocol.training_time_window_size if does_train else 1)
        data.reader.library.check_readable(together, schema, data.reader.reading.memory_bytes)
    return checked


def day_readers(
    data: DataSettings,
    schema: Schema,
    days: DayFiles,
    checked: Mapping[str, CheckedFile],
    *,
    arguments: TrainingArguments,
    protocol: Protocol,
    has_all_items: bool,
) -> DayReaders:
    """Say how the files of each day are opened; `has_all_items` keeps the items of a session that are cut off."""
    reader = data.reader
    open_files = _opener(data, schema, checked, seed=arguments.seed)
    to_evaluate = partial(
        open_files,
        batch_size=arguments.per_device_eval_batch_size,
        shuffle=False,
        drop_last=False,
        has_all_items=has_all_items,
    )
    items_alone = replace(schema, features=(schema.item_id,), past={}, negatives={})
    # The same rows in every process.
    in_all_ranks = {"rank": 0, "world_size": 1, "library": None}
    to_count = partial(open_files, schema=items_alone, batch_size=ROWS_TO_COUNT, **in_all_ranks)

    def to_train(day: datetime) -> Reader:
        window = days.window(day, protocol.training_time_window_size)
        if gap := [days.unit.name(each) for each in days.missing if window[0] < each < day]:
            log.info("%s: the window joins the days around %s, without files", days.unit.name(day), ", ".join(gap))
        return open_files(
            days.train_files(day, protocol.training_time_window_size),
            day=day,
            batch_size=arguments.per_device_train_batch_size,
            shuffle=reader.shuffle_buffer_size > 0,
            buffer_rows=reader.shuffle_buffer_size or None,
            drop_last=arguments.dataloader_drop_last,
        )

    batch_of_all_ranks = arguments.per_device_eval_batch_size * distributed.world_size()
    first_sessions = {"train": protocol.eval_steps_on_train_set * batch_of_all_ranks}
    return DayReaders(
        to_train=to_train,
        to_evaluate=lambda day, split: to_evaluate(
            days.files(day, split), day=day, max_sessions=first_sessions.get(split)
        ),
        to_count=lambda day: to_count(days.files(day, "train"), day=day),
        number_of=days.unit.number,
        item_counts=lambda day, num_days: count_items(
            (checked[file] for file in days.train_files(day, num_days)), schema.item_id.cardinality
        ),
        moments=lambda day: add_moments(checked[file] for file in days.files(day, "train")),
    )


def _opener(
    data: DataSettings, schema: Schema, checked: Mapping[str, CheckedFile], *, seed: int
) -> Callable[..., DayReader]:
    sessions, reader = data.sessions, data.reader
    return partial(
        DayReader,
        schema=schema,
        session_length_max=sessions.session_seq_length_max,
        past_length_max=sessions.session_aware_past_seq_length_max,
        seed=seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        memory_bytes=reader.reading.memory_bytes,
        library=reader.library,
        footers={file: of_file.footer for file, of_file in checked.items()},
        reading=reader.reading,
    )
