"""Which raw files are meant: a file, a glob or a folder of parquet, CSV or JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from transformers4recsys.errors import InputError

KINDS = {
    ".parquet": "parquet",
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".dat"), "csv"),
    **dict.fromkeys((".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson"), "json"),
}


def kind_of(path: Path) -> str | None:
    """Say whether a file is parquet, CSV or JSON lines, by its name; None for anything else."""
    return next((kind for ending, kind in KINDS.items() if path.name.lower().endswith(ending)), None)


def raw_files(
    inputs: str | Path | Sequence[str | Path],
    *,
    output: Path,
    pattern: str | None = None,
    file_format: str | None = None,
) -> tuple[str, list[str]]:
    """List the raw files, sorted, and their one kind: `file_format`, or what their names say.

    In folders, hidden files (. or _ in front) are skipped, and those whose name does not match `pattern`.
    """
    given = [inputs] if type(inputs) is str or not isinstance(inputs, Sequence) else list(inputs)
    any_name = pattern or ("*" if file_format else None)
    files = [path for item in given for path in _files_of(Path(item).expanduser(), any_name)]
    kinds = {file_format or kind_of(path) for path in files}
    if None in kinds or len(kinds) > 1:
        names = ", ".join(sorted(path.name for path in files)[:5])
        raise InputError(
            f"--input: give files of one kind ({', '.join(KINDS)}), or say by --file_format what they are; "
            f"found {names} ..."
        )
    inside = [path for path in files if output.resolve() in path.resolve().parents]
    if inside:
        raise InputError(
            f"--input: {inside[0]} lies in the output folder {output}; write to a folder outside the input"
        )
    return kinds.pop() or "", sorted({str(path) for path in files})


def _files_of(path: Path, pattern: str | None) -> list[Path]:
    if path.is_dir():
        below = [file for file in path.rglob(pattern or "*") if (pattern or kind_of(file)) and file.is_file()]
        files = [file for file in below if not any(part[0] in "._" for part in file.relative_to(path).parts)]
        if not files:
            wanted = f"matches {pattern}" if pattern else f"ends in {', '.join(KINDS)}"
            raise InputError(f"--input {path}: no file in this folder {wanted}")
        return files
    if path.is_file():
        return [path]
    files = [Path(name) for name in glob(str(path), recursive=True)]
    if not files:
        raise InputError(f"--input {path}: there is no such file or folder, and as a pattern it matches nothing")
    return [inner for file in files for inner in _files_of(file, pattern)]
