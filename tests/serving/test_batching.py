import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from transformers4recsys.serving.batching import Batcher, TooBusy


def run(number, *, max_batch=4, max_waiting=100, answer_all=None, size=1):
    """Ask `number` questions at once; give the answers and the sizes of the batches."""
    batches = []

    async def ask_all():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                answer_all or (lambda questions: [2 * question for question in questions]),
                executor=executor,
                max_batch=max_batch,
                max_waiting=max_waiting,
                on_batch=batches.append,
            )
            asks = (batcher.ask(question, size=size) for question in range(number))
            return await asyncio.gather(*asks, return_exceptions=True)

    return asyncio.run(ask_all()), batches


def test_every_question_gets_its_own_answer_and_batches_are_bounded():
    answers, batches = run(10)

    assert answers == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert sum(batches) == 10
    assert max(batches) <= 4


def test_a_question_larger_than_a_batch_goes_alone():
    answers, batches = run(2, size=9)

    assert answers == [0, 2]
    assert batches == [9, 9]


def test_too_many_questions_are_refused():
    answers, _ = run(5, max_waiting=3)

    assert answers[:3] == [0, 2, 4]
    assert all(type(answer) is TooBusy for answer in answers[3:])


def test_an_error_reaches_its_batch_and_the_next_one_is_answered():
    def answer_all(questions):
        if 0 in questions:
            raise ValueError("the first batch fails")
        return questions

    answers, _ = run(8, max_batch=4, answer_all=answer_all)

    assert [type(answer) for answer in answers[:4]] == [ValueError] * 4
    assert answers[4:] == [4, 5, 6, 7]


@pytest.mark.parametrize("number", [0, 1])
def test_few_questions(number):
    answers, batches = run(number)

    assert answers == [0][:number]
    assert batches == [1][:number]
