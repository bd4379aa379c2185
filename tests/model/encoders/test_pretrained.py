"""Names that lead nowhere."""

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.pretrained import own_width


def test_a_folder_without_configuration_is_named(tmp_path):
    with pytest.raises(InputError, match="no configuration of the transformers library there"):
        own_width(str(tmp_path), None)
