import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from transformers4recsys.preprocessing.report.page import page


@pytest.fixture
def found():
    day = {"sessions": 2, "users": 2, "items": 3, "new_items": 3, "events_on_new_items": 5, "repeats": 1}
    return {
        "settings": {"time_unit": "day", "session_length_max": 20, "split": "days"},
        "events_read": 12_345,
        "events_written": 12_000,
        "events_without_price": 7,
        "events_dropped": {"no_item": 305, "before_the_last_n": 40},
        "checks": {"events_later_than_now": 3},
        "adds_up": True,
        "totals": {
            "events": 12_000,
            "sessions": 40,
            "users": 9,
            "items": 4,
            "repeats": 3000,
            "mean_length": 2.5,
            "valid_rows": 21,
            "test_rows": 19,
            "days": 2,
        },
        "by_day": [{"day": f"2024-01-0{n}", "events": 5 * n} | day for n in (5, 6)],
        "lengths": [[2, 30], [3, 10]],
        "popularity": {"items": 4, "once": 1, "top": {"1 %": {"items": 1, "share": 0.5}}, "curve": [[1, 9], [4, 1]]},
        "columns": {"brand <b>": {"values": 2, "once": 0, "events": 200, "missing": 1}},
        "leaks": {
            "rule": "No event is later.",
            "note": "",
            "is_ok": True,
            "pairs": [
                {
                    "trained_on": "2024-01-05",
                    "rows": 3,
                    "rows_later": 0,
                    "events_later": 1,
                    "trained_until": "2024-01-05 23:00:00",
                    "evaluated_from": "2024-01-06 00:10:00",
                }
            ],
        },
    }


class Balance(HTMLParser):
    """Fails where a tag is closed that is not the last one open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def plots(html):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_the_page_is_whole_and_needs_nothing_else(found):
    html = page(found)
    reader = Balance()
    reader.feed(html)
    assert reader.open == []
    assert "src=" not in html and "<link" not in html and "<script" not in html


def test_the_page_has_a_plot_of_each_kind(found):
    titles = [plot.get("aria-label") for plot in plots(page(found))]
    assert titles == [
        "Events",
        "Sessions and users",
        "Items, and those never seen before",
        "New items, share of the day's items, after the first day",
        "Events on new items, share of events, after the first day",
        "Repeats of an item in a session, share of events",
        "Length of sessions in the training files",
        "Popularity: events of each item",
    ]


def test_numbers_and_verdicts_can_be_read(found):
    html = page(found)
    for text in (
        "12,345",
        "-305",
        "2.47 %",
        "dropped: no item",
        "dropped: before the last 20 of a session",
        "2024-01-05 to 2024-01-06",
        ">users</th>",
        "The counts add up.",
        "7 events have no price",
        "brand &lt;b&gt;",
        "0.50 %",
    ):
        assert text in html, text
    assert '<span class="good">Holds</span> on 1 of 1 training files' in html


def test_a_leak_and_counts_that_do_not_add_up_stand_out(found):
    found["leaks"]["is_ok"], found["leaks"]["pairs"][0]["rows_later"] = False, 3
    found["adds_up"] = False
    html = page(found)
    assert '<span class="bad">Broken</span> on 0 of 1' not in html
    assert '<span class="bad">Broken</span> on 1 of 1' in html
    assert '<span class="bad">The counts do not add up.</span>' in html


def test_one_day_has_no_lines_over_days_and_no_times_no_verdict(found):
    found["by_day"] = found["by_day"][:1]
    found["leaks"] |= {"is_ok": None, "pairs": []}
    html = page(found)
    assert len(plots(html)) == 2 and "times cannot be compared" in html


def test_hours_are_called_hours_and_users_that_are_not_known_are_left_out(found):
    found["settings"]["time_unit"], found["totals"]["users"] = "hour", None
    html = page(found)
    assert "Hour by hour" in html and "<b>2</b>hours" in html and "the hour&#x27;s items" in html
    assert "users" not in html and not re.search(r"\bdays?\b", html)


def test_many_lengths_are_put_together(found):
    found["lengths"] = [[length, 1] for length in range(2, 202)]
    (plot,) = [plot for plot in plots(page(found)) if plot.get("aria-label").startswith("Length")]
    heights = [rect for rect in plot.iter("{http://www.w3.org/2000/svg}rect")]
    assert plot.get("aria-label").endswith("in steps of 4") and len(heights) == 51


def test_one_is_one_and_text_of_the_log_is_no_markup(found):
    found["events_without_price"], found["by_day"] = 1, found["by_day"][:1]
    found["events_dropped"] = {"<script>": 5}
    html = page(found)
    assert "1 event has no price." in html and "<summary>1 day</summary>" in html
    assert "dropped: &lt;script&gt;" in html and "<script" not in html


def test_checks_are_listed_where_there_are_any(found):
    row = "<td>events later than now</td><td>3</td>"
    assert row in page(found)
    assert "What was checked before" not in page(found | {"checks": {}})
