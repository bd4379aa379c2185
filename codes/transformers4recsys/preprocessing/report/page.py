"""The report as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from transformers4recsys.preprocessing.report import charts

MANY_LENGTHS = 60
CARDS = {
    "events": "events",
    "sessions": "sessions",
    "users": "users",
    "items": "items",
    "days": "{unit}s",
    "mean_length": "events a session",
    "valid_rows": "sessions in valid files",
    "test_rows": "sessions in test files",
}
WHERE_SESSIONS_ARE = "<p>Training files hold all sessions; each is in a valid or a test file as well.</p>"
REASONS = {
    "repeated_item": "the same item again in a session",
    "in_a_short_session": "in sessions of fewer than two events",
    "before_the_last_n": "before the last {session_length_max} of a session",
}
STYLE = """
body { font: 15px/1.5 sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.cards, .plots { display: grid; gap: 12px; }
.cards { grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); }
.cards div { background: #f3f4f6; border-radius: 6px; padding: 8px 12px; }
.cards b { display: block; font-size: 1.3em; }
.plots { margin-top: 20px; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); }
svg { width: 100%; border: 1px solid #e5e7eb; border-radius: 6px; }
table { border-collapse: collapse; } td, th { padding: 2px 12px; text-align: right; border-bottom: 1px solid #e5e7eb; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
.good { color: #047857; font-weight: bold; } .bad { color: #b91c1c; font-weight: bold; }
"""


def page(report: dict[str, Any]) -> str:
    """Lay out what `report.report_of` found."""
    days, unit = report["by_day"], report["settings"]["time_unit"]
    period = " to ".join(dict.fromkeys([days[0]["day"], days[-1]["day"]]))
    body = [
        f"<h1>Data report, {period}</h1>",
        "" if report["settings"]["split"] != "days" else WHERE_SESSIONS_ARE,
        _cards(report),
        '<div class="plots">' + "".join(_plots(report)) + "</div>",
        "<h2>What was read, dropped and written</h2>",
        _accounts(report),
        "<h2>Columns that became ids</h2>",
        "<p>Of all events read that have an item, a time and a session, also those dropped afterwards.</p>",
        _columns(report),
        "<h2>Leak check</h2>",
        _leaks(report["leaks"]),
        f"<h2>{unit.capitalize()} by {unit}</h2>",
        _days(days, unit, has_users=bool(report["totals"]["users"])),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data report</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _cards(report: dict[str, Any]) -> str:
    totals = report["totals"]
    unit = report["settings"]["time_unit"]
    cards = [(text.format(unit=unit), totals[name]) for name, text in CARDS.items() if totals[name] is not None]
    shares = [("of events repeat an item", totals["repeats"] / totals["events"])]
    shares += [(f"of events on top {name} of items", top["share"]) for name, top in report["popularity"]["top"].items()]
    texts = [f"<div><b>{value:,}</b>{name}</div>" for name, value in cards]
    texts += [f"<div><b>{100 * share:.1f} %</b>{name}</div>" for name, share in shares]
    return f'<div class="cards">{"".join(texts)}</div>'


def _plots(report: dict[str, Any]) -> list[str]:
    days, settings = report["by_day"], report["settings"]
    unit, plots = settings["time_unit"], []
    if len(days) > 1:
        visitors = ("sessions", "users") if report["totals"]["users"] else ("sessions",)
        plots = [
            _over_days("Events", days, "events"),
            _over_days(" and ".join(visitors).capitalize(), days, *visitors),
            _over_days("Items, and those never seen before", days, "items", "new_items"),
            # On the first day every item is new.
            _over_days(
                f"New items, share of the {unit}'s items, after the first {unit}", days[1:], "new_items", of="items"
            ),
            _over_days(
                f"Events on new items, share of events, after the first {unit}",
                days[1:],
                "events_on_new_items",
                of="events",
            ),
            _over_days("Repeats of an item in a session, share of events", days, "repeats", of="events"),
        ]
    plots.append(_length_plot(report["lengths"], settings["session_length_max"]))
    ranks, counts = zip(*report["popularity"]["curve"], strict=True)
    plots.append(
        charts.lines(
            "Popularity: events of each item", ranks, {"events": counts}, x_name="rank of the item", is_log=True
        )
    )
    return plots


def _over_days(title: str, days: Sequence[dict[str, Any]], *names: str, of: str | None = None) -> str:
    series = {name.replace("_", " "): [day[name] / day[of] if of else day[name] for day in days] for name in names}
    return charts.lines(title, range(len(days)), series, x_labels=[day["day"] for day in days], is_share=bool(of))


def _length_plot(lengths: Sequence[Sequence[int]], longest: int) -> str:
    title = "Length of sessions in the training files"
    if len(lengths) <= MANY_LENGTHS:
        labels, values = [str(length) for length, _ in lengths], [count for _, count in lengths]
    else:
        width = -(-(lengths[-1][0] + 1) // MANY_LENGTHS)
        sums: dict[int, int] = {}
        for length, count in lengths:
            sums[length // width] = sums.get(length // width, 0) + count
        labels = [str(n * width) for n in range(max(sums) + 1)]
        values = [sums.get(n, 0) for n in range(max(sums) + 1)]
        title += f", in steps of {width}"
    return charts.bars(title, labels, values, x_name=f"events in a session; longer ones are cut to {longest}")


def _accounts(report: dict[str, Any]) -> str:
    read = report["events_read"]
    rows = [("read", read)]
    names = {reason: REASONS.get(reason, reason.replace("_", " ")) for reason in report["events_dropped"]}
    rows += [
        (f"dropped: {names[reason].format(**report['settings'])}", -count)
        for reason, count in report["events_dropped"].items()
    ]
    rows.append(("written", report["events_written"]))
    adds_up = _verdict(report["adds_up"], "The counts add up.", "The counts do not add up.")
    table = _table(
        ("events", "number", "share"), [(name, n, f"{100 * abs(n) / max(read, 1):.2f} %") for name, n in rows]
    )
    without = report["events_without_price"]
    return f"{table}<p>{adds_up}{f' {without:,} events have no price.' if without else ''}</p>"


def _columns(report: dict[str, Any]) -> str:
    heads = ("column", "values", "of one event", "events", "without a value", "share")
    return _table(
        heads,
        [
            (
                name,
                c["values"],
                c["once"],
                c["events"],
                c["missing"],
                f"{100 * c['missing'] / max(c['events'], 1):.2f} %",
            )
            for name, c in report["columns"].items()
        ],
    )


def _leaks(leaks: dict[str, Any]) -> str:
    rule = f"<p>{escape(leaks['rule'])}</p>"
    if leaks["is_ok"] is None:
        return rule + "<p>The log has an order and no times, so times cannot be compared.</p>"
    pairs = leaks["pairs"]
    broken = [pair for pair in pairs if pair["rows_later"]]
    later, all_rows = sum(pair["events_later"] for pair in pairs), sum(pair["rows"] for pair in pairs)
    number = len(pairs) if leaks["is_ok"] else len(broken)
    text = _verdict(leaks["is_ok"], "Holds", "Broken")
    text = f"<p>{text} on {number} of {len(pairs)} training files, {all_rows:,} rows.</p>"
    if leaks["note"]:
        text += f"<p>{escape(leaks['note'])} Here: {later:,}.</p>"
    heads = ("trained on", "rows", "rows later", "events later", "trained until", "evaluated from")
    names = [head.replace(" ", "_") for head in heads]
    return rule + text + _details("All pairs", _table(heads, [[pair[name] for name in names] for pair in pairs]))


def _days(days: Sequence[dict[str, Any]], unit: str, *, has_users: bool) -> str:
    names = ["day", *(name for name in days[0] if name != "day" and (has_users or name != "users"))]
    heads = [unit, *(name.replace("_", " ") for name in names[1:])]
    return _details(f"{len(days)} {unit}s", _table(heads, [[day[name] for name in names] for day in days]))


def _verdict(is_good: bool, good: str, bad: str) -> str:
    return f'<span class="{"good" if is_good else "bad"}">{good if is_good else bad}</span>'


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>{text}</details>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [
        "".join(f"<td>{v:,}</td>" if type(v) is int else f"<td>{escape(str(v))}</td>" for v in row) for row in rows
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
