import re

import pytest
from markupsafe import Markup
from tests.browser import needs_chromium, open_browser

from transformers4recsys.reporting import charts
from transformers4recsys.reporting.pages import readable, render

TEMPLATE = """{% from "page_table.html" import table %}<style>{% include "page_style.css" %}</style><main>
<ul class="legend"><li><i style="background-color: #3b82f6"></i>one</li></ul>
<div class="plots">{{ plot }}{{ plot }}</div>
{{ table(heads, [row]) }}<details><summary>more</summary><p id="more">more</p></details></main>"""


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (True, "true"), (None, "-"), ([], "-"), (["a", 2], "a, 2"), (1e-05, "1e-05"), ("x", "x")],
)
def test_values_are_written_as_in_settings_files(value, text):
    assert readable(value) == text


def test_texts_are_escaped_and_the_style_is_inside():
    text = render(TEMPLATE, {"plot": "<svg>", "heads": ["<b>"], "row": [1234]})

    assert "<svg>" not in text and "&lt;b&gt;" in text and "<td>1,234</td>" in text
    assert "prefers-color-scheme: dark" in text and "url(" not in text


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def address(tmp_path):
    days = [f"2024-01-{day:02}" for day in range(1, 6)]
    plot = Markup(charts.lines("Events of items", range(5), {"a": [1, 5, 2, 4, 3]}, x_labels=days))
    heads = [f"recall@{number}, a run" for number in range(9)]
    path = tmp_path / "page.html"
    values = {"plot": plot, "heads": heads, "row": [0.1234] * 9}
    path.write_text("<!doctype html><meta charset=utf-8>" + render(TEMPLATE, values))
    return path.as_uri()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_fits_its_window_in_letters_that_can_be_read(page, address, width, scheme):
    page.look_as(width=width, scheme=scheme)
    page.open(address)

    assert page.run("document.documentElement.scrollWidth") == width
    # Pixels of a letter of a chart as it is drawn; labels neither overlap nor leave the chart.
    plot = "document.querySelector('svg')"
    scale = page.run(f"{plot}.getBoundingClientRect().width") / charts.WIDTH
    assert scale * page.run(f"parseFloat(getComputedStyle({plot}.querySelector('text')).fontSize)") > 9.5
    edges = page.run(
        f"[...{plot}.querySelectorAll('text')].filter(each => /^2024/.test(each.textContent))"
        ".map(each => each.getBoundingClientRect()).filter(each => each.width).map(each => [each.left, each.right])"
    )
    assert len(edges) == (5 if width == 1280 else 3)
    assert all(right < left for (_, right), (left, _) in zip(edges, edges[1:], strict=False))
    assert edges[-1][1] <= page.run(f"{plot}.getBoundingClientRect().right")


@needs_chromium
def test_print_is_black_on_white_with_all_that_is_folded_and_as_wide_as_the_paper(page, address):
    page.look_as(width=700, scheme="dark", media="print")
    page.open(address)

    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("document.getElementById('more').checkVisibility({ contentVisibilityAuto: true })")
    assert page.run("document.querySelector('table').getBoundingClientRect().right") <= 700
    assert page.run("getComputedStyle(document.querySelector('.legend i')).printColorAdjust") == "exact"


def test_the_style_names_what_charts_write():
    svg = charts.lines("t", range(4), {"a": [1, 2, 3, 4]}, x_labels=list("wxyz"))

    assert re.findall(r'class="minor">(.)<', svg) == ["x", "z"]
