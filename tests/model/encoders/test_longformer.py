"""Window weights laid out for pairs."""

import torch

from transformers4recsys.model.encoders.longformer import of_pairs


def test_a_window_of_three_becomes_a_band():
    window = torch.tensor([[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 0.0]]]])
    assert of_pairs(window)[0, 0].tolist() == [[1, 2, 0], [3, 4, 5], [0, 6, 7]]
