import math

import pytest
import torch

from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.numeric import NumericScale, SoftOneHot


def scaled(values: list[float], *, means: list[float], stds: list[float]) -> list[float]:
    scale = NumericScale(1)
    for mean, std in zip(means, stds, strict=True):
        scale.fit([mean], [std])
    return scale(torch.tensor(values)[:, None])[:, 0].tolist()


def test_a_column_far_from_the_unit_is_standardised_by_itself():
    assert scaled([4000.0, 5000.0, 7000.0], means=[5000.0], stds=[2000.0]) == pytest.approx([-0.5, 0.0, 1.0])
    assert scaled([3e38, -3e38], means=[-1e38], stds=[2e38]) == pytest.approx([2.0, -1.0])


def test_a_column_near_the_unit_is_taken_as_it_is():
    values = [0.1, -1.7, 2.9]
    for mean, std in ((0.0, 1.0), (-1.5, 0.9), (3.0, 0.1), (0.5, 3.0)):
        assert scaled(values, means=[mean], stds=[std]) == torch.tensor(values).tolist()


def test_a_column_that_hardly_varies_on_the_first_day_is_not_blown_up():
    # The sine of a weekday on a day with a few sessions past midnight: the next day is another weekday.
    assert scaled([0.78, 0.97], means=[0.78], stds=[0.01]) == pytest.approx([0.78, 0.97])


def test_the_scale_is_that_of_the_first_day_on_which_the_column_varies():
    assert scaled([10.0, 30.0], means=[20.0, 500.0], stds=[5.0, 100.0]) == [-2.0, 2.0]
    # On the first day all prices are 1000: what differs later stays of their order until the column has a scale.
    assert scaled([1000.0, 3000.0], means=[1000.0], stds=[0.0]) == [0.0, 2.0]
    assert scaled([1000.0, 3000.0], means=[1000.0, 2000.0], stds=[0.0, 500.0]) == [-2.0, 2.0]
    assert scaled([0.0, 2.0], means=[0.0], stds=[0.0]) == [0.0, 2.0]


def test_the_scale_is_part_of_the_weights(schema, make_batch):
    embedder, other = FeatureEmbedder(schema, d_model=8), FeatureEmbedder(schema, d_model=8)
    embedder.scale.fit([900.0], [30.0])
    other.load_state_dict(embedder.state_dict())
    batch = make_batch([[1, 2, 3]])
    assert torch.equal(other(batch), embedder(batch))
    assert (other.scale.mean_C.item(), other.scale.std_C.item()) == (900.0, 30.0)


def test_a_soft_one_hot_number_is_a_mixture_of_vectors():
    soft = SoftOneHot(1, 2, 3, std=1.0)
    with torch.no_grad():
        soft.slope_CE.copy_(torch.tensor([[1.0, 0.0]]))
        soft.shift_CE.zero_()
        soft.table_CEW.copy_(torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, 4.0]]]))
    # Weights of the value log 3 are 3 : 1.
    mixed = soft(torch.tensor([[math.log(3.0)], [0.0]]))
    torch.testing.assert_close(mixed, torch.tensor([[0.75, 0.25, 2.5], [0.5, 0.5, 3.0]]))


def test_each_column_has_vectors_of_its_own():
    soft = SoftOneHot(2, 4, 3, std=1.0)
    both = soft(torch.tensor([[0.5, 0.5]]))
    assert both.shape == (1, 6) and not torch.allclose(both[:, :3], both[:, 3:])
    alone = SoftOneHot(1, 4, 3, std=1.0)
    alone.load_state_dict({name: value[1:] for name, value in soft.state_dict().items()})
    torch.testing.assert_close(alone(torch.tensor([[0.5]])), both[:, 3:])
