"""Which encoders see what stands later."""

import pytest

from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.causality import is_causal
from transformers4recsys.model.encoders.settings import EncoderSettings

BOTH_WAYS = {"albert", "bert", "electra", "longformer", "modernbert", "roberta"}


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_bidirectional_encoders_are_found(name):
    encoder = ENCODERS[name](EncoderSettings(16, n_layer=1, n_head=2, max_length=8))
    assert is_causal(encoder, (1, 8, 16)) == (name not in BOTH_WAYS)
