"""Ranks and lists over tables in two processes are those over the whole table."""

import torch

from transformers4recsys import distributed
from transformers4recsys.metrics.catalogue import rank_among_all, top_items
from transformers4recsys.metrics.marked_items import MarkedItems
from transformers4recsys.metrics.shared_catalogue import rank_among_shared, top_shared
from transformers4recsys.row_shards import RowShards

NUM_ITEMS, WIDTH = 14, 4
ROWS_OF_RANKS = {"both": (5, 3), "one alone": (0, 300)}
# Of the larger ones exp() overflows; the last has a score that is not a number.
SPREADS = (1.0, 300.0, float("nan"))
LENGTHS = (3, 10, 20)


def case(num_rows: tuple[int, int], spread: float):
    """Give table, bias, and for each process hidden states, labels, and marked items that are no labels.

    All are eighths, of which products and sums are exact: ties hold whatever order a processor adds in.
    """
    generator = torch.Generator().manual_seed(1)

    def eighths(*shape: int) -> torch.Tensor:
        return torch.randint(-16, 17, shape, generator=generator) / 8

    table = eighths(NUM_ITEMS, WIDTH) * (1.0 if spread != spread else spread)
    # Two items in the parts of different processes that tie.
    table[13] = table[2]
    bias = eighths(NUM_ITEMS)
    bias[0], bias[13] = -torch.inf, bias[2]
    if spread != spread:
        table[3] = spread
    of_ranks = []
    for num in num_rows:
        hidden = eighths(num, WIDTH)
        labels = torch.tensor([2, 13, 1, 7, 12, 3] * num, dtype=torch.long)[:num]
        marks = MarkedItems.from_lists([[item for item in (1, 5, 8, 13) if item != label] for label in labels.tolist()])
        of_ranks.append((hidden, labels, marks))
    return table, bias, of_ranks


def work() -> list[list[torch.Tensor]]:
    """Rank and list in this process, in all cases."""
    shards = RowShards(NUM_ITEMS, distributed.rank(), distributed.world_size())
    answers = []
    for num_rows in ROWS_OF_RANKS.values():
        for spread in SPREADS:
            table, bias, of_ranks = case(num_rows, spread)
            hidden, labels, marks = of_ranks[shards.rank]
            own_table, own_bias = shards.part_of(table), shards.part_of(bias)
            for excluded in (None, marks):
                ranks, loss = rank_among_shared(hidden, own_table, own_bias, labels, shards=shards, excluded=excluded)
                found = [ranks.num_above, ranks.num_tied, loss]
                for k in LENGTHS:
                    found += top_shared(hidden, own_table, own_bias, k, shards=shards, excluded=excluded)
                answers.append(found)
    return answers


def test_they_equal_those_over_the_whole_table(in_processes):
    for rank, answers in enumerate(in_processes(work)):
        found = iter(answers)
        for num_rows in ROWS_OF_RANKS.values():
            for spread in SPREADS:
                table, bias, of_ranks = case(num_rows, spread)
                hidden, labels, marks = of_ranks[rank]
                for excluded in (None, marks):
                    num_above, num_tied, loss, *lists = next(found)
                    ranks, expected_loss = rank_among_all(hidden, table, bias, labels, excluded=excluded)
                    assert torch.equal(num_above, ranks.num_above) and torch.equal(num_tied, ranks.num_tied)
                    # A loss is a difference of scores, which are as large as the spread.
                    atol = 1e-5 * (spread if spread > 1 else 1)
                    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=atol, equal_nan=True)
                    for k, ids, scores in zip(LENGTHS, lists[::2], lists[1::2], strict=True):
                        _, expected = top_items(hidden, table, bias, k, excluded=excluded)
                        torch.testing.assert_close(scores, expected, equal_nan=True)
                        # Of a tie either may stand first.
                        of_ids = (hidden @ table.T + bias).gather(1, ids)
                        seen = scores.isfinite()
                        torch.testing.assert_close(scores[seen], of_ids[seen])
                        assert all(len(set(row)) == len(row) for row in ids.tolist())
