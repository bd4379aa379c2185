import torch

from transformers4recsys.model.merges import AttentionMerge, ElementwiseMerge


def test_attention_merge_weighs_whole_features():
    torch.manual_seed(0)
    merge = AttentionMerge([3, 1], 4, layer_norm_eps=1e-12)
    concatenated = torch.randn(5, 4)
    normal = merge.before(concatenated)
    first, second = merge.values[0](normal[:, :3]), merge.values[1](normal[:, 3:])
    for position in range(5):
        powers = [float(merge.score(value[position]).exp()) for value in (first, second)]
        mixed = (powers[0] * first[position] + powers[1] * second[position]) / sum(powers)
        torch.testing.assert_close(merge(concatenated)[position], merge.after(mixed))


def test_attention_merge_of_one_feature_is_its_linear_layer():
    merge = AttentionMerge([3], 4, layer_norm_eps=1e-12)
    concatenated = torch.randn(2, 3)
    torch.testing.assert_close(merge(concatenated), merge.after(merge.values[0](merge.before(concatenated))))


def test_elementwise_merge_scales_the_item_by_the_sum_of_the_others():
    torch.manual_seed(0)
    merge = ElementwiseMerge([2, 3, 1], 4, layer_norm_eps=1e-12, item=1)
    concatenated = torch.randn(5, 6)
    first, item, last = (of(part) for of, part in zip(merge.values, concatenated.split([2, 3, 1], 1), strict=True))
    torch.testing.assert_close(merge(concatenated), merge.after(item + item * first + item * last))


def test_elementwise_merge_of_the_item_alone_is_its_linear_layer():
    merge = ElementwiseMerge([3], 4, layer_norm_eps=1e-12)
    concatenated = torch.randn(2, 3)
    torch.testing.assert_close(merge(concatenated), merge.after(merge.values[0](concatenated)))
