"""Requests that wait together are answered together: one pass of the model for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class TooBusy(Exception):
    """Raised where more requests wait than the server lets wait."""


@dataclass
class _Waiting(Generic[Question, Answer]):
    question: Question
    size: int
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher(Generic[Question, Answer]):
    """Gathers questions and hands up to `max_batch` sessions at a time to `answer_all`, in one thread of `executor`.

    A question waits for a batch that is being answered, and no longer: the first one is answered at once, those that
    come meanwhile go together. `on_batch` is told the sessions of each batch.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Question]], Sequence[Answer]],
        *,
        executor: Executor,
        max_batch: int,
        max_waiting: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ):
        self._answer_all, self._executor, self._on_batch = answer_all, executor, on_batch
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting: list[_Waiting[Question, Answer]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, question: Question, *, size: int = 1) -> Answer:
        """Wait for the answer to one question of `size` sessions; raise TooBusy where too many wait already."""
        if sum(each.size for each in self._waiting) >= self._max_waiting:
            raise TooBusy(f"{self._max_waiting} sessions are waiting; try again in a moment")
        waiting: _Waiting[Question, Answer] = _Waiting(question, size)
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._next_batch()
            self._on_batch(sum(each.size for each in batch))
            questions = [each.question for each in batch]
            try:
                answers = await loop.run_in_executor(self._executor, self._answer_all, questions)
            except Exception as error:
                for each in batch:
                    if not each.answer.done():
                        each.answer.set_exception(error)
                continue
            for each, answer in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    def _next_batch(self) -> list[_Waiting[Question, Answer]]:
        """Take the questions in front, as many as fit; one that is larger than a batch goes alone."""
        size, number = 0, 0
        for each in self._waiting:
            if number and size + each.size > self._max_batch:
                break
            size, number = size + each.size, number + 1
        batch, self._waiting = self._waiting[:number], self._waiting[number:]
        # A client that has gone away needs no answer.
        return [each for each in batch if not each.answer.cancelled()] or batch[:1]
