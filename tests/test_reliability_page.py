"""Every test that docs/reliability.md names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_tests_that_hold_the_promises_exist():
    missing, file = [], ""
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for path, name in re.findall(r"`(tests/[\w/.]+)?::(\w+)`", page):
        file = path or file
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")
    assert missing == [] and page.count("::test_") > 25
