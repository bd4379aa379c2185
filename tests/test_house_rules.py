"""What can be checked of the house rules by reading the source: sizes, docstrings, imports, mirrors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "codes" / "transformers4recsys"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
LINES_OF_MODULE, LINES_OF_FUNCTION, METHODS_OF_CLASS = 400, 60, 10
# The evaluation loop may be longer.
LONGER = {("training/evaluation.py", "run"): 80}
# Modules whose optional dependency, or heavy library, is imported where it is needed.
MAY_IMPORT_LATE = {
    "serving/onnx_export.py",
    "cli.py",
    "reporting/wandb_runs.py",
    "benchmarking/picture.py",
    "data/readers/nvtabular.py",
    "data/readers/petastorm.py",
    "model/objectives/fused.py",
    "preprocessing/engines/spark.py",
    "api.py",
    "commands/recommend.py",
    "commands/tune.py",
    "recommender/recommender.py",
    "recommender/approximate.py",
    "recommender/spark.py",
}


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with a docstring"
    assert text.count("\n") <= LINES_OF_MODULE
    assert text.isascii(), "comments and names are ASCII"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            limit = LONGER.get((name_of(path), node.name), LINES_OF_FUNCTION)
            assert node.end_lineno - node.lineno < limit, f"{node.name} has more than {limit} lines"
            if name_of(path) not in MAY_IMPORT_LATE:
                late = [each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
                assert not late, f"{node.name} imports in its body"
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            methods = [each for each in methods if not each.name.startswith("__") and not each.decorator_list]
            assert len(methods) <= METHODS_OF_CLASS, f"{node.name} has {len(methods)} methods"


def test_tests_mirror_the_package():
    mirrored = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    small = {"errors.py", "outputs.py", "reporting/sink.py", "model/encoders/settings.py", "__main__.py"}
    modules = [path for path in MODULES if path.name != "__init__.py" and name_of(path) not in small]
    expected = {(path.parent / f"test_{path.name}").relative_to(PACKAGE).as_posix() for path in modules}
    assert sorted(expected - mirrored) == []
