"""Stand-ins: a module that uses a library can be imported without it, and nothing of it remains."""

import sys

from transformers4recsys.stand_ins import without_libraries

SOURCE = """
import absent.inner as inner
from absent import Thing, NUMBERS, decorated
from dataclasses import dataclass

class Derived(Thing): ...

@decorated(1)
def function(): ...

@dataclass(frozen=True)
class Plain:
    value: int = 3

names = [name for name in NUMBERS] + (["x"] if "x" in NUMBERS else [])
alias = dict[str, Thing | None]
made = Thing("a").b[0] + 2
"""


def test_whatever_a_module_does_with_a_library_gives_a_stand_in(tmp_path, monkeypatch):
    (tmp_path / "transformers4recsys_stood_in.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    with without_libraries():
        sys.modules["stood_in"] = module = type(sys)("stood_in")
        exec(SOURCE, vars(module))
        assert "absent" in sys.modules and module.Plain().value == 3 and module.names == []
    assert not {"absent", "absent.inner", "stood_in"} & sys.modules.keys()
