"""A CPU without products of bfloat16 is told of, with the flag to leave out."""

import pytest

from transformers4recsys.training import precision
from transformers4recsys.training.precision import has_bf16_products


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({"architecture": "riscv64"}, True),
        ({}, True),
    ],
)
def test_what_a_processor_can(capabilities, has):
    assert has_bf16_products(capabilities) == has


@pytest.mark.parametrize(
    ("has", "flags", "num_notes"), [(False, {"bf16": True}, 1), (True, {"bf16": True}, 0), (False, {}, 0)]
)
def test_a_run_says_once_that_bf16_is_slow_here(has, flags, num_notes, run_train, monkeypatch, capsys):
    monkeypatch.setattr(precision, "has_bf16_products", lambda: has)
    run_train(end_date="2019-10-02", **flags)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("leave --bf16 out to train in fp32") == num_notes
