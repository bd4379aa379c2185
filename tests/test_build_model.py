"""What the model flags build, and what they refuse."""

import pytest

from transformers4recsys.build_model import choose
from transformers4recsys.errors import InputError


def test_an_unknown_choice_names_what_there_is():
    with pytest.raises(InputError, match="--inp_merge 'sum' is unknown; choose one of attn, mlp"):
        choose({"mlp": 1, "attn": 2}, "sum", "--inp_merge")
