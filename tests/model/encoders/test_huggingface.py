"""Our sizes reach the library's configuration under its own names."""

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.huggingface import library_encoder
from transformers4recsys.model.encoders.reformer import ReformerSettings
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.settings import Parts

gpt2 = library_encoder("gpt2")


def test_gpt2_is_built_to_measure():
    settings = EncoderSettings(
        32, n_layer=3, n_head=8, max_length=40, dropout=0.3, hidden_act="relu", initializer_range=0.5
    )
    config = gpt2(settings).model.config
    assert (config.n_embd, config.n_layer, config.n_head, config.n_positions) == (32, 3, 8, 42)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.3, 0.3, 0.3)
    assert (config.activation_function, config.layer_norm_epsilon, config.initializer_range) == ("relu", 1e-12, 0.5)


def test_positions_can_be_switched_off():
    inputs = torch.randn(1, 1, 8).expand(1, 5, 8)
    with_positions = gpt2(EncoderSettings(8, n_layer=1, n_head=2)).eval()(inputs, torch.ones(1, 5, dtype=torch.bool))
    without = gpt2(EncoderSettings(8, n_layer=1, n_head=2, disable_positional_embeddings=True)).eval()
    hidden = without(inputs, torch.ones(1, 5, dtype=torch.bool)).hidden
    torch.testing.assert_close(hidden[:, 0], hidden[:, 4])
    assert (with_positions.hidden[:, 0] - with_positions.hidden[:, 4]).abs().max() > 1e-3


def test_attention_weights_are_causal_and_sum_to_one():
    encoder = gpt2(EncoderSettings(8, n_layer=2, n_head=2, has_attentions=True)).eval()
    encoded = encoder(torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.bool))
    assert [tuple(weights.shape) for weights in encoded.attentions] == [(3, 2, 4, 4)] * 2
    for weights in encoded.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 4))
        assert weights.triu(1).abs().max() == 0


def test_a_width_the_heads_cannot_share_is_refused():
    with pytest.raises(InputError, match="`d_model` 10 must be a multiple of `n_head` 4"):
        gpt2(EncoderSettings(10, n_head=4))


# What 3 layers of 8 heads at width 32, 40 positions, and so on, are called in each architecture's configuration.
BERT_LIKE = {
    **{"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 128},
    **{"hidden_act": "relu", "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3},
    **{"max_position_embeddings": 42, "initializer_range": 0.5, "layer_norm_eps": 0.001},
}
LLAMA_LIKE = {
    **{"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 4},
    **{"intermediate_size": 128, "hidden_act": "relu", "attention_dropout": 0.3, "max_position_embeddings": 42},
    **{"initializer_range": 0.5, "rms_norm_eps": 0.001},
}
OWN_CONFIGURATIONS = {
    "gpt2": {
        **{"n_embd": 32, "n_layer": 3, "n_head": 8, "n_positions": 42, "activation_function": "relu"},
        **{"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.3},
        **{"layer_norm_epsilon": 0.001, "initializer_range": 0.5},
    },
    "xlnet": {
        **{"d_model": 32, "n_layer": 3, "n_head": 8, "d_inner": 128, "d_head": 4, "ff_activation": "relu"},
        **{"dropout": 0.3, "initializer_range": 0.5, "layer_norm_eps": 0.001, "attn_type": "uni"},
    },
    "bert": BERT_LIKE,
    "roberta": BERT_LIKE,
    "longformer": {**BERT_LIKE, "max_position_embeddings": 42},
    "albert": {**BERT_LIKE, "embedding_size": 32},
    "electra": {**BERT_LIKE, "embedding_size": 32},
    "modernbert": {
        **{"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 128},
        **{"hidden_activation": "relu", "attention_dropout": 0.3, "embedding_dropout": 0.3, "mlp_dropout": 0.3},
        **{"max_position_embeddings": 42, "initializer_range": 0.5, "norm_eps": 0.001},
    },
    "llama": LLAMA_LIKE,
    "qwen3": LLAMA_LIKE,
    "mamba": {
        **{"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "hidden_act": "relu"},
        **{"initializer_range": 0.5, "layer_norm_epsilon": 0.001},
    },
    "reformer": {
        **{"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 8, "attention_head_size": 4},
        **{"feed_forward_size": 128, "hidden_act": "relu", "hidden_dropout_prob": 0.3},
        **{"local_attention_probs_dropout_prob": 0.3, "lsh_attention_probs_dropout_prob": 0.3},
        **{"initializer_range": 0.5, "axial_norm_std": 0.5, "layer_norm_eps": 0.001},
        **{"local_attn_chunk_length": 5, "lsh_attn_chunk_length": 5, "num_hashes": 3},
    },
}


@pytest.mark.parametrize("name", sorted(OWN_CONFIGURATIONS))
def test_every_setting_reaches_the_architecture_under_its_own_name(name):
    settings = EncoderSettings(
        **{"d_model": 32, "n_layer": 3, "n_head": 8, "max_length": 40, "dropout": 0.3, "hidden_act": "relu"},
        **{"initializer_range": 0.5, "layer_norm_eps": 0.001},
        own=Parts({ReformerSettings: ReformerSettings(attn_chunk_length=5, lsh_num_hashes=3)}),
    )
    config = next(
        module.config for module in {**ENCODERS, "gpt2": gpt2}[name](settings).modules() if hasattr(module, "config")
    )
    assert {key: getattr(config, key) for key in OWN_CONFIGURATIONS[name]} == OWN_CONFIGURATIONS[name]
