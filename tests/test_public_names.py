"""The public names of the package: there, listed, and imported when they are asked for."""

import subprocess
import sys

import pytest

import transformers4recsys


@pytest.mark.parametrize("name", transformers4recsys.__all__)
def test_public_names_can_be_used(name):
    assert getattr(transformers4recsys, name).__name__ == name
    assert name in dir(transformers4recsys)


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="no attribute 'recomend'"):
        _ = transformers4recsys.recomend


def test_nothing_heavy_is_imported_with_the_package():
    heavy = "{'torch', 'transformers', 'ibis', 'pyarrow'}"
    code = f"import sys, transformers4recsys; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
