"""The page in a browser: chromium without a window draws it, and what it holds then is read."""

import re
import shutil
import subprocess
import threading
import time
from urllib.parse import quote

import pyarrow as pa
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import uvicorn  # noqa: E402

from transformers4recsys.serving.app import create_app  # noqa: E402
from transformers4recsys.serving.model_source import ModelSource  # noqa: E402
from transformers4recsys.serving.service import Service  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
LARGE = 2**60 + 1


class Two:
    """Recommends a large whole number and a title that looks like a tag."""

    last_day = "2024-01-02"
    item_table = pa.table({"raw": [LARGE, 7], "title": ["", "<b>bold</b>"]})

    def __init__(self):
        self.asked = []

    def recommend(self, sessions, k=10, **settings):
        self.asked.append(sessions)
        rows = [{"session": 0, "rank": rank, "item": item, "score": 2.0 - rank} for rank, item in ((1, LARGE), (2, 7))]
        return pa.Table.from_pylist([row | {"is_fallback": False} for row in rows])


@pytest.fixture
def model():
    return Two()


@pytest.fixture
def address(model, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    app = create_app(ModelSource(tmp_path / "manifest.json", lambda: Service(model)), name="shop")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def drawn(address, folder):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--virtual-time-budget=5000"]
    done = subprocess.run([CHROMIUM, *flags, "--dump-dom", address], capture_output=True, text=True, timeout=120)
    return done.stdout


def test_the_session_of_the_address_is_asked_about_and_its_list_is_drawn(address, model, tmp_path):
    page = drawn(f"{address}#{quote('a,b', safe='')},{LARGE}", tmp_path / "browser")

    assert model.asked == [[["a,b", str(LARGE)]]]
    names = re.findall(r'class="add"[^>]*>([^<]*)<', page)
    assert names == [str(LARGE), "&lt;b&gt;bold&lt;/b&gt; (7)"]
    assert re.findall(r'class="score">([^<]*)<', page) == ["1.000", "0.000"]
    assert "Model of 2024-01-02." in page and re.search(r'id="problem"[^>]*></div>', page)
