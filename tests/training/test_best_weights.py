"""The weights of the best validation are kept and put back; patience counts what was no better in a row."""

import pytest
import torch

from transformers4recsys.training.best_weights import BEST_METRICS, BestWeights


def test_metrics_are_named_with_their_cutoffs():
    assert {"ndcg@10", "recall@20", "mrr@5"} <= set(BEST_METRICS)


def test_the_best_weights_come_back_after_validations_that_were_no_better():
    model, best, exhausted = torch.nn.Linear(1, 1), BestWeights("mrr@5", patience=2), []
    for epoch, value in enumerate([0.1, 0.3, 0.2, None, 0.3, 0.4], start=1):
        with torch.no_grad():
            model.weight.fill_(epoch)
        if not best.is_exhausted:
            best.see(value, epoch=epoch, model=model)
        exhausted.append(best.is_exhausted)
    assert exhausted == [False, False, False, False, True, True]
    assert (best.value, best.epoch, model.weight.item()) == (0.3, 2, 6)
    best.restore(model)
    assert model.weight.item() == 2


@pytest.mark.parametrize("values", [[0.3, 0.2], [0.3]])
def test_what_was_found_goes_on_elsewhere(values):
    model, first, second = torch.nn.Linear(1, 1), BestWeights(patience=2), BestWeights(patience=2)
    for epoch, value in enumerate(values, start=1):
        first.see(value, epoch=epoch, model=model)
    second.load(first.state(), first.weights)
    for best in (first, second):
        best.see(0.1, epoch=3, model=model)
    assert first.state() == second.state() and first.is_exhausted == second.is_exhausted == (len(values) == 2)


def test_without_patience_nothing_is_kept():
    best = BestWeights()
    best.see(0.5, epoch=1, model=torch.nn.Linear(1, 1))
    best.see(0.4, epoch=2, model=torch.nn.Linear(1, 1))
    assert best.weights == {} and not best.is_exhausted
