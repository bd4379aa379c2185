"""The library is imported when a part of it is used, and not before."""

import subprocess
import sys

import transformers as whole

from transformers4recsys.model.encoders.library import transformers


def test_parts_are_the_librarys():
    assert transformers.GPT2Config is whole.GPT2Config
    assert "gpt2" in transformers.CONFIG_MAPPING


def test_naming_it_imports_nothing():
    program = "import sys, transformers4recsys.model.build; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
