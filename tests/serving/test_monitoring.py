import pytest

pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")
from transformers4recsys.serving.monitoring import Monitoring  # noqa: E402


def test_one_model_answers_at_a_time():
    numbers = Monitoring()
    numbers.set_model("monday")
    numbers.set_model("tuesday")
    page = numbers.page().decode()

    assert 'transformers4recsys_model{day="tuesday"} 1.0' in page
    assert "monday" not in page


def test_two_servers_of_one_process_count_apart():
    first, second = Monitoring(), Monitoring()
    first.sessions.inc(3)

    assert "transformers4recsys_sessions_total 3.0" in first.page().decode()
    assert "transformers4recsys_sessions_total 0.0" in second.page().decode()
