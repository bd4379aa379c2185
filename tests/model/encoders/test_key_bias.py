"""The bias of the keys is as it was, and only those of queries and values learn."""

import torch

from transformers4recsys.model.encoders.key_bias import without_key_gradient


def test_the_keys_part_gets_no_gradient_and_keeps_its_value():
    bias_3D = torch.tensor([1.0, 2, 3, 4, 5, 6], requires_grad=True)
    found_3D = without_key_gradient(bias_3D)
    assert torch.equal(found_3D, bias_3D)
    found_3D.square().sum().backward()
    assert bias_3D.grad.tolist() == [2, 4, 0, 0, 10, 12]
