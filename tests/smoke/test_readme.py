"""The README's commands, read from it and run on small data from a folder laid out like the repository."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from transformers4recsys.data.readers import READERS
from transformers4recsys.errors import InputError

ROOT = Path(__file__).parent.parent.parent
FENCES = re.findall(
    r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
BLOCKS = [text for language, text in FENCES if not language]
pytestmark = pytest.mark.smoke


def block_with(word):
    (block,) = [block for block in BLOCKS if word in block]
    return block


@pytest.fixture
def run(tmp_path):
    """Run a shell line in a folder of a copy of the layout, with its own home."""
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "recsys_main.py").symlink_to(ROOT / "codes" / "recsys_main.py")
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(line, folder="."):
        environment = os.environ | {"PATH": programs, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(line, shell=True, cwd=tmp_path / folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.mark.parametrize("reader", READERS)
def test_the_documented_command(run, tmp_path, reader):
    try:
        if library := READERS[reader]:
            library.check_usable(str(tmp_path))
    except InputError as error:
        pytest.skip(str(error))
    recipe = ROOT / "datasets/ecommerce-large/preprocessing.yaml"
    run("transformers4recsys simulate --output log --days 3 --sessions_per_day 700 --items 3000")
    run(f"transformers4recsys preprocess --input log --output dataset_path --recipe {recipe}")
    # Three days in place of fifteen: a step over 390,000 items takes its time on a CPU.
    line = block_with("CUDA_VISIBLE_DEVICES").replace("--end_date 2019-10-15", "--end_date 2019-10-03")
    line = line.replace("--data_loader_engine pyarrow", f"--data_loader_engine {reader}")
    output = run(line, "codes")
    assert "2019-10-03" in output and "popular" in output
    results = tmp_path / "codes" / "tmp"
    assert (results / "model.safetensors").exists() and (results / "log.json").exists()
    assert list((tmp_path / "codes" / "runs").iterdir())


def test_the_commands_for_an_own_log(run, tmp_path):
    run("transformers4recsys simulate --output raw --days 5 --sessions_per_day 300 --items 200 --start_date 2026-01-01")
    own = {"product_id": "sku", "event_time": "clicked_at", "user_session": "visit", "user_id": "customer"}
    (tmp_path / "logs").mkdir()
    for path in (tmp_path / "raw").iterdir():
        table = pq.read_table(path)
        pq.write_table(
            table.rename_columns([own.get(name, name) for name in table.column_names]), tmp_path / "logs" / path.name
        )
    (tmp_path / "logs" / "2026-01-05.parquet").rename(tmp_path / "raw" / "new_day.parquet")
    preprocess, train = block_with("--item_column sku").replace("\\\n", " ").strip().splitlines()
    run(preprocess)
    run(train)
    again = shlex.join([*shlex.split(train), "--resume_from_checkpoint", "true"])
    assert "2026-01-04" in run(again)
    assert run(block_with("--items sku-7")).startswith('"session","rank","item","score"')
    (tmp_path / "raw" / "new_day.parquet").rename(tmp_path / "logs" / "2026-02-01.parquet")
    assert "2026-01-05" in run(block_with("transformers4recsys update"))
    (program,) = [text for language, text in FENCES if language == "python"]
    run(f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}")
