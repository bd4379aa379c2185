"""The documented download script, with a stand-in for gdown: no network, a broken archive, a good one."""

import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "codes" / "script" / "dowload_dataset_from_gdrive.bash"
pytestmark = pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")


@pytest.fixture
def run(tmp_path):
    """Run the script with a gdown that does what `body` says; "$3" is the file to write."""

    def run(body: str | None):
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "gdown").unlink(missing_ok=True)
        if body is not None:
            (programs / "gdown").write_text(f"#!/bin/sh\n{body}\n")
            (programs / "gdown").chmod(stat.S_IRWXU)
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            ["bash", SCRIPT, tmp_path / "data"], env=os.environ | environment, capture_output=True, text=True
        )

    return run


def test_a_good_archive_is_unpacked_and_not_fetched_twice(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("days/session_start_date=2019-10-01-train.parquet", "rows")
    result = run(f'cp {tmp_path}/good.zip "$3"')
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "data" / "days") in result.stdout
    assert (tmp_path / "data/days/session_start_date=2019-10-01-train.parquet").read_text() == "rows"
    assert run("exit 1").returncode == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [("exit 1", "is there a network"), ('echo "<html>" > "$3"', "no whole zip archive"), (None, "pip install gdown")],
)
def test_a_failed_download_says_why_and_leaves_nothing(body, message, run, tmp_path):
    result = run(body)
    assert result.returncode == 2 and message in result.stderr
    assert not list((tmp_path / "data").glob("*")) if (tmp_path / "data").exists() else True
