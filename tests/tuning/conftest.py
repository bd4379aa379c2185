import pytest

pytest.importorskip("optuna", reason="the extra `tune` is not installed")
