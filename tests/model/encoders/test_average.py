"""The running mean, by hand."""

import torch

from transformers4recsys.model.encoders.average import RunningMean


def test_each_position_holds_the_mean_up_to_it():
    hidden = RunningMean()(torch.tensor([[[1.0], [3.0], [8.0]]]), torch.ones(1, 3, dtype=torch.bool)).hidden
    assert hidden.flatten().tolist() == [1, 2, 4]
