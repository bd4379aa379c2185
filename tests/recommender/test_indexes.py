import sys

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender


def test_an_index_says_what_it_finds_of_exact_lists(run_train, capsys, monkeypatch):
    pytest.importorskip("usearch", reason="the extra `index` is not installed")
    run = run_train()
    expected = Recommender.load(run, device="cpu").recommend([[3, 7]], exclude_seen=True)
    found = Recommender.load(run, device="cpu", index="approximate").recommend([[3, 7]], exclude_seen=True)
    said = capsys.readouterr().err
    assert "approximate index of 30 items" in said and "it finds 100.0 % of the 20 best" in said
    assert found.column("item") == expected.column("item")
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(InputError, match="`index` approximate needs usearch"):
        Recommender.load(run, device="cpu", index="approximate")


def test_an_unknown_index_is_named(run_train):
    with pytest.raises(InputError, match="`index` 'aproximate'.* approximate"):
        Recommender.load(run_train(), device="cpu", index="aproximate")
