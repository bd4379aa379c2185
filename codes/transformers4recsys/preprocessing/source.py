"""Which raw files are meant: a file, a glob or a folder of parquet or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from transformers4recsys.errors import InputError

KINDS = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv"}


def kind_of(path: Path) -> str | None:
    """Say whether a file is parquet or CSV, by its name; None for anything else."""
    return next((kind for ending, kind in KINDS.items() if path.name.lower().endswith(ending)), None)


def raw_files(inputs: str | Path | Sequence[str | Path], *, output: Path) -> tuple[str, list[str]]:
    """List the raw files, sorted, and their one kind; hidden ones (. or _ in front) are skipped in folders."""
    given = [inputs] if type(inputs) is str or not isinstance(inputs, Sequence) else list(inputs)
    files = [path for item in given for path in _files_of(Path(item).expanduser())]
    kinds = {kind_of(path) for path in files}
    if None in kinds or len(kinds) > 1:
        names = ", ".join(sorted(path.name for path in files)[:5])
        raise InputError(f"--input: give files of one kind, all {' or all '.join(KINDS)}; found {names} ...")
    inside = [path for path in files if output.resolve() in path.resolve().parents]
    if inside:
        raise InputError(
            f"--input: {inside[0]} lies in the output folder {output}; write to a folder outside the input"
        )
    return kinds.pop() or "", sorted({str(path) for path in files})


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        below = (file for file in path.rglob("*") if kind_of(file) and file.is_file())
        files = [file for file in below if not any(part[0] in "._" for part in file.relative_to(path).parts)]
        if not files:
            raise InputError(f"--input {path}: no file in this folder ends in {', '.join(KINDS)}")
        return files
    if path.is_file():
        return [path]
    files = [Path(name) for name in glob(str(path), recursive=True)]
    if not files:
        raise InputError(f"--input {path}: there is no such file or folder, and as a pattern it matches nothing")
    return [inner for file in files for inner in _files_of(file)]
