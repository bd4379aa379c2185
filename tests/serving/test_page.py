"""The page in a browser: chromium without a window types, clicks, and says what it holds then."""

import threading
import time
from urllib.parse import quote

import pyarrow as pa
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import uvicorn  # noqa: E402
from tests.browser import needs_chromium, open_browser  # noqa: E402

from transformers4recsys.serving.app import create_app  # noqa: E402
from transformers4recsys.serving.bounds import Bounds  # noqa: E402
from transformers4recsys.serving.model_source import ModelSource  # noqa: E402
from transformers4recsys.serving.service import Service  # noqa: E402

pytestmark = needs_chromium
LARGE = 2**60 + 1
NAMES = "[...document.querySelectorAll('#session .name')].map(each => each.textContent)"
ANSWER = "[...document.querySelectorAll('#answer li')].map(each => each.querySelector('.add').textContent)"
NOTE = "document.getElementById('note').textContent"


class Two:
    """Recommends a large whole number and a title that looks like a tag."""

    last_day = "2024-01-02"
    item_table = pa.table({"raw": [LARGE, 7, 8], "title": ["", "<b>bold</b>", "Hat, red"]})

    def __init__(self):
        self.asked = []

    def recommend(self, sessions, k=10, **settings):
        self.asked.append((sessions[0], k, settings["exclude"] is not None))
        rows = [{"session": 0, "rank": rank, "item": item, "score": 2.0 - rank} for rank, item in ((1, LARGE), (2, 7))]
        return pa.Table.from_pylist([row | {"is_fallback": sessions[0] == ["none"]} for row in rows])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def model():
    return Two()


@pytest.fixture
def serve(model, tmp_path):
    """Serve the model, and give the address of the page."""
    (tmp_path / "manifest.json").write_text("{}")
    ends = []

    def start(**settings):
        app = create_app(ModelSource(tmp_path / "manifest.json", lambda: Service(model)), name="shop", **settings)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        ends.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"

    yield start
    for server, thread in ends:
        server.should_exit = True
        thread.join()


def enter(page, field, text):
    page.run(f"document.getElementById('{field}').focus()")
    page.type(text)
    page.press_enter()


def answered(page, names):
    page.wait_for(f"JSON.stringify({NAMES}) === {names!r} && {ANSWER}.length")


def test_the_session_of_the_address_is_asked_about_and_its_list_is_drawn(page, serve, model):
    page.open(f"{serve()}#{quote('a,b', safe='')},{LARGE},8")
    page.wait_for(f"{ANSWER}.length")

    assert model.asked == [(["a,b", str(LARGE), "8"], 10, True)]
    assert page.run(NAMES) == ["a,bnot known to the model", str(LARGE), "Hat, red (8)"]
    assert page.run(ANSWER) == [str(LARGE), "<b>bold</b> (7)"]
    scores = "[...document.querySelectorAll('.score')].map(each => each.textContent)"
    assert page.run(scores) == ["1.000", "0.000"]
    assert page.run("document.getElementById('model').textContent") == "Model of 2024-01-02."
    assert page.run(NOTE) == "" and not page.problems


def test_what_is_typed_and_clicked_changes_the_session(page, serve, model):
    page.open(serve())
    page.wait_for(f"{NOTE} === 'Add an item to see a list.'")
    # A title that holds a comma is one item, and of several things those without a title are ids.
    enter(page, "item", "hat, RED")
    answered(page, '["Hat, red (8)"]')
    enter(page, "item", "new; <b>bold</b>")
    answered(page, '["Hat, red (8)","newnot known to the model","<b>bold</b> (7)"]')
    page.run("document.querySelector('[aria-label=\"move 7 up\"]').click()")
    answered(page, '["Hat, red (8)","<b>bold</b> (7)","newnot known to the model"]')
    page.run("document.querySelector('[aria-label=\"remove new\"]').click()")
    page.run(f"document.querySelector('[aria-label=\"add {LARGE} to the session\"]').click()")
    answered(page, f'["Hat, red (8)","<b>bold</b> (7)","{LARGE}"]')
    page.run("document.getElementById('seen').click()")

    assert page.run("location.hash") == f"#8,7,{LARGE}"
    asked = [["8"], ["8", "new", "7"], ["8", "7", "new"], ["8", "7"], ["8", "7", str(LARGE)]]
    assert [session for session, _, _ in model.asked][: len(asked)] == asked
    page.run("document.getElementById('clear').click()")
    page.wait_for(f"{NOTE} === 'Add an item to see a list.' && !{ANSWER}.length")
    assert not page.problems


def test_a_pasted_column_of_ids_is_as_many_items(page, serve):
    page.open(serve())
    page.run(
        """(() => { const data = new DataTransfer(); data.setData("text", "7\\r\\n8\\n");
        document.getElementById("item").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data })); })()"""
    )
    answered(page, '["<b>bold</b> (7)","Hat, red (8)"]')


def test_while_one_types_items_are_proposed(page, serve):
    page.open(serve())
    page.run("document.getElementById('item').focus()")
    page.type("hat")
    page.wait_for("document.querySelector('#found option')")

    assert page.run("[...document.querySelectorAll('option')].map(each => [each.value, each.label])") == [
        ["8", "Hat, red"]
    ]


def test_popular_items_and_errors_are_said(page, serve):
    page.open(f"{serve(bounds=Bounds(max_items=2))}#none")
    page.wait_for(f"{NOTE} === 'No item of the session is known; these are the most popular ones.'")
    enter(page, "item", "a,b")
    page.wait_for(f"{NOTE}.startsWith('items of a session: 3 is more than the 2')")

    # The list of an earlier session does not stand under an error.
    assert page.run(ANSWER) == []


def test_a_token_is_asked_for_and_used(page, serve, model):
    page.open(f"{serve(token='key')}#7")
    page.wait_for("!document.getElementById('sign').hidden")
    assert model.asked == []
    enter(page, "token", "key")
    answered(page, '["<b>bold</b> (7)"]')


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window_and_can_be_read(page, serve, width, scheme):
    page.look_as(width=width, scheme=scheme)
    page.open(f"{serve()}#{'long' * 50},7")
    page.wait_for(f"{ANSWER}.length")

    assert page.run("document.documentElement.scrollWidth") == width
    ink, back = (
        page.run(f"getComputedStyle(document.body).{name}.match(/\\d+/g).reduce((sum, each) => sum + +each, 0)")
        for name in ("color", "backgroundColor")
    )
    assert (ink < 200 and back > 700) if scheme == "light" else (ink > 700 and back < 200)
