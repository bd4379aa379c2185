import html.parser
import re

import pytest

from transformers4recsys.comparison.attention import AttendedSession
from transformers4recsys.comparison.contents import compare
from transformers4recsys.comparison.page import page

DAY, DAYS = "2026-01-02", [f"2026-01-{day:02}" for day in range(2, 9)]
EMPTY = {"meta", "link", "line", "rect", "circle", "polyline"}


class Balanced(html.parser.HTMLParser):
    """Fails where an element is not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag


def parsed(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser


@pytest.fixture
def runs(make_run):
    days = {day: [(n, 1, 5, 2, 0.5 + n / 10) for n in range(3)] for day in DAYS}
    worse = {day: [(n, 1, 5, 2, 0.4 + n / 10) for n in range(3)] for day in DAYS}
    return [make_run("one<b>", days), make_run("two", worse)]


def test_the_page_is_whole_and_asks_for_nothing_outside(runs):
    text = page(compare(runs, ["ndcg@20"]))
    assert parsed(text).links == ["data:,"] and "url(" not in text and "<script" not in text


def test_texts_are_escaped(runs):
    text = page(compare(runs, ["ndcg@20"]))
    assert "one<b>" not in text and "one&lt;b&gt;" in text


def test_numbers_are_those_of_the_comparison(runs):
    cells = re.findall(r"<td>(.*?)</td>", page(compare(runs, ["ndcg@20"])))
    row = cells[cells.index("two", cells.index("0.6000")) :]
    assert "0.5000" in row and "-0.1000" in row and "-16.7 %" in row and "0.0156" in row


def test_no_two_curves_look_alike(make_run):
    many = [make_run(f"run{n}", {day: [(1, 1, 5, 2, n / 12)] for day in DAYS}) for n in range(10)]
    text = page(compare(many, ["ndcg@20"]))
    legend = re.findall(r"<i(.*?)></i>(.*?)</li>", text)
    lines = re.findall(r"<polyline .*?stroke=(.*?)/>", text)
    assert len(legend) == len(lines) == len({look for look, _ in legend}) == len(set(lines)) == 10
    assert [("dashed" in look, "dash" in line) for (look, _), line in zip(legend, lines, strict=True)] == (
        [(False, False)] * 8 + [(True, True)] * 2
    )


def test_a_run_alone_has_attention_and_no_differences(runs):
    session = AttendedSession(["sku <1>", "sku-2"], {"layer 1, head 1": [[1.0, 0.0], [0.25, 0.75]]})
    text = page(compare(runs[1:], ["ndcg@20"]), [session])
    parsed(text)
    assert "Differences" not in text and "layer 1, head 1" in text
    assert "sku &lt;1&gt; reads sku &lt;1&gt;: 1.000" in text and "sku-2 reads sku &lt;1&gt;: 0.250" in text
    # What is not read is not drawn.
    assert "sku &lt;1&gt; reads sku-2" not in text
