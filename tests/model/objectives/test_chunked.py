"""The chunked cross entropy equals its plain twin in value and gradient, whatever the chunks."""

import pytest
import torch

from transformers4recsys import distributed
from transformers4recsys.model.objectives import chunked
from transformers4recsys.model.objectives.catalogue import cross_entropy
from transformers4recsys.row_shards import RowShards

NUM_ITEMS, WIDTH = 50, 8


def inputs(num_labels, *, spread=0.3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(num_labels)
    hidden = torch.randn(num_labels, WIDTH, generator=generator, dtype=dtype).requires_grad_()
    table = (spread * torch.randn(NUM_ITEMS, WIDTH, generator=generator, dtype=dtype)).requires_grad_()
    item_bias = torch.randn(NUM_ITEMS, generator=generator, dtype=dtype).requires_grad_()
    labels = torch.randint(1, NUM_ITEMS, (num_labels,), generator=generator)
    return hidden, table, item_bias, labels


def value_and_gradients(loss, hidden, table, item_bias, labels, **options):
    padding = torch.zeros_like(item_bias)
    padding[0] = -torch.inf
    value = loss(hidden, table, item_bias + padding, labels, **options)
    return value.detach(), *torch.autograd.grad(3 * value, (hidden, table, item_bias))


@pytest.fixture(params=[(7, 3, 1), (1, 50, 1), (64, 1000, 1), (7, 3, 10**9), (64, 1000, 10**9)])
def chunks(request, monkeypatch):
    """Rows and items at a time: some of each, a row at a time, all at once; scores held, and made anew."""
    rows, items, least = request.param
    monkeypatch.setattr(chunked, "MOST_ROWS_ON_CPU", rows)
    monkeypatch.setattr(chunked, "LEAST_ROWS", least)
    monkeypatch.setattr(chunked, "ITEMS_OF_A_BLOCK_ON_CPU", items)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
# Scores of some hundreds overflow exp() unless the largest is taken off first.
@pytest.mark.parametrize("spread", [0.3, 100.0])
def test_equals_the_plain_twin(spread, label_smoothing, chunks):
    given = inputs(20, spread=spread, dtype=torch.float64)
    expected = value_and_gradients(cross_entropy, *given, label_smoothing=label_smoothing)
    found = value_and_gradients(chunked.cross_entropy, *given, label_smoothing=label_smoothing)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_rows_that_fill_a_chunk_up_teach_nothing(monkeypatch):
    """20 labels in chunks of 16 and 4, the second filled up with rows of zeros to the same length."""
    monkeypatch.setattr(chunked, "MOST_ROWS_ON_CPU", 16)
    given = inputs(20, dtype=torch.float64)
    expected = value_and_gradients(cross_entropy, *given)
    found = value_and_gradients(chunked.cross_entropy, *given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_large_bias_takes_the_careful_way():
    hidden, table, item_bias, labels = inputs(9)
    item_bias = (item_bias * 40).detach().requires_grad_()
    expected = value_and_gradients(cross_entropy, hidden, table, item_bias, labels)
    found = value_and_gradients(chunked.cross_entropy, hidden, table, item_bias, labels)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_scores_at_the_end_of_the_safe_range_keep_all_digits():
    """Scores from -58 to 58 in 32 bits, beside the plain loss in 64."""
    hidden = torch.tensor([[58.0], [-58.0], [1.0], [0.0]])
    table, item_bias = torch.linspace(-1, 1, 10_000)[:, None], torch.zeros(10_000)
    softmax = chunked.Softmax.of(hidden, table, item_bias, torch.float32)
    assert softmax.is_safe
    labels, found, expected = torch.tensor([9_000, 9_990, 1, 7]), [], []
    for loss, dtype, gives in ((chunked.cross_entropy, torch.float32, found), (cross_entropy, torch.float64, expected)):
        given = [each.to(dtype).requires_grad_() for each in (hidden, table, item_bias)]
        gives += value_and_gradients(loss, *given, labels)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 5e-6 * other.norm()


@pytest.mark.parametrize("spread", [0.3, 10.0])
def test_products_in_bfloat16_are_near(spread):
    given = inputs(200, spread=spread)
    expected = value_and_gradients(cross_entropy, *given)
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradients(chunked.cross_entropy, *given)
    assert found[0].dtype == torch.float32
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


def test_half_precision_holds_the_sum_of_a_block(monkeypatch):
    monkeypatch.setattr(chunked, "ITEMS_OF_A_BLOCK_ON_CPU", chunked.ITEMS_OF_A_BLOCK)
    table, item_bias = torch.zeros(70_000, 2, requires_grad=True), torch.zeros(70_000, requires_grad=True)
    with torch.autocast("cpu", torch.float16):
        loss = chunked.cross_entropy(torch.zeros(3, 2, requires_grad=True), table, item_bias, torch.tensor([1, 5, 9]))
    torch.testing.assert_close(loss.detach(), torch.tensor(70_000.0).log(), rtol=1e-3, atol=0)


def test_half_precision_keeps_small_gradients_apart_from_zero():
    """With a loss scale as --fp16 has, gradients are those of full precision to a step or two of half precision."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(600, 8, generator=generator) * 2e-3
    table = torch.randn(5_000, 8, generator=generator) * 2e-4
    labels = torch.randint(1, 1_000, (600,), generator=generator)
    of = {}
    for precision in (torch.float16, torch.float32):
        inputs = [each.clone().requires_grad_() for each in (hidden, table, torch.zeros(5_000))]
        with torch.autocast("cpu", torch.float16, enabled=precision == torch.float16):
            half = inputs[0].to(precision)
            loss = chunked.cross_entropy(half, *inputs[1:], labels)
        half.retain_grad()
        (loss * 65_536).backward()
        of[precision] = [half.grad.float(), *(each.grad for each in inputs[1:])]
    for found, expected in zip(of[torch.float16], of[torch.float32], strict=True):
        # Labels' gradients are far larger than those of other items: each by itself.
        for part in (slice(0, 1_000), slice(1_000, None)):
            assert (found[part] - expected[part]).norm() <= 0.01 * expected[part].norm()


def test_no_label_costs_nothing():
    hidden, table, item_bias, labels = inputs(0)
    assert chunked.cross_entropy(hidden, table, item_bias, labels) == 0


@pytest.mark.parametrize(("least_rows", "expected"), [(5, [5, 5, 3]), (6, [7, 7, 6, 6])])
def test_never_holds_all_scores(least_rows, expected, monkeypatch):
    """There is room for five rows: they are held, or up to eight are made twice, in two chunks about as long."""
    monkeypatch.setattr(chunked, "ROWS_FIT", 1)
    monkeypatch.setattr(chunked, "SCORES_AT_A_TIME_ON_CPU", 5 * NUM_ITEMS)
    monkeypatch.setattr(chunked, "LEAST_ROWS", least_rows)
    monkeypatch.setattr(chunked, "MOST_ROWS_ON_CPU", 8)
    sizes = []
    scores = chunked.Softmax._scores

    def noted(self, hidden_RE, blocks):
        sizes.append(len(hidden_RE))
        return scores(self, hidden_RE, blocks)

    monkeypatch.setattr(chunked.Softmax, "_scores", noted)
    value_and_gradients(chunked.cross_entropy, *inputs(13))
    assert sizes == expected


# Labels of each process; the losses that are then weighed as the trainer does, by the labels of each.
LABELS_OF_RANKS = (6, 0, 4)
CASES_OF_PARTS = [(spread, smoothing) for spread in (0.3, 100.0) for smoothing in (0.0, 0.1)]


def in_parts() -> list[tuple[torch.Tensor, ...]]:
    """Give, for all cases, the loss in this process and its gradients by hidden states and by its part of the table."""
    shards = RowShards(NUM_ITEMS, distributed.rank(), distributed.world_size())
    first = sum(LABELS_OF_RANKS[: shards.rank])
    own = slice(first, first + LABELS_OF_RANKS[shards.rank])
    chunked.MOST_ROWS_ON_CPU, chunked.ITEMS_OF_A_BLOCK_ON_CPU = 3, 7
    answers = []
    for spread, label_smoothing in CASES_OF_PARTS:
        hidden, table, item_bias, labels = inputs(sum(LABELS_OF_RANKS), spread=spread, dtype=torch.float64)
        hidden, table, item_bias = (
            each.detach().requires_grad_() for each in (hidden[own], shards.part_of(table), shards.part_of(item_bias))
        )
        padding = torch.zeros_like(item_bias)
        padding[0] = -torch.inf
        loss = chunked.cross_entropy(
            hidden, table, item_bias + padding, labels[own], label_smoothing=label_smoothing, shards=shards
        )
        share = len(labels[own]) * shards.num_ranks / len(labels)
        answers.append((loss.detach(), *torch.autograd.grad(3 * share * loss, (hidden, table, item_bias))))
    return answers


def test_processes_that_share_the_table_out_learn_what_one_does(in_processes):
    of_ranks = in_processes(in_parts, 3)
    for case, (spread, label_smoothing) in enumerate(CASES_OF_PARTS):
        given = inputs(sum(LABELS_OF_RANKS), spread=spread, dtype=torch.float64)
        loss, of_hidden, of_table, of_bias = value_and_gradients(cross_entropy, *given, label_smoothing=label_smoothing)
        losses, *_ = zip(*(answers[case] for answers in of_ranks), strict=True)
        weighed = sum(own * num for own, num in zip(losses, LABELS_OF_RANKS, strict=True))
        torch.testing.assert_close(weighed / sum(LABELS_OF_RANKS), loss)
        # Gradients of replicated weights are averaged over processes later on.
        hidden = torch.cat([answers[case][1] for answers in of_ranks]) / len(of_ranks)
        torch.testing.assert_close(hidden, of_hidden, rtol=1e-9, atol=1e-9)
        for rank, answers in enumerate(of_ranks):
            shards = RowShards(NUM_ITEMS, rank, len(of_ranks))
            for found, expected in zip(answers[case][2:], (of_table, of_bias), strict=True):
                torch.testing.assert_close(found, shards.part_of(expected), rtol=1e-9, atol=1e-9)
