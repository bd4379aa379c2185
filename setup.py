"""Puts datasets/ inside an installed package, as transformers4recsys/datasets; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithDatasets(build_py):
    """Copies the recipes and training files; an editable install finds them where they are."""

    def run(self):
        super().run()
        if not self.editable_mode:
            place = Path(self.build_lib) / "transformers4recsys" / "datasets"
            shutil.copytree(
                "datasets",
                place,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("*.parquet", "days", "results", "runs"),
            )


setup(cmdclass={"build_py": BuildWithDatasets})
