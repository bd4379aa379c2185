"""The report as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from transformers4recsys.reporting import charts
from transformers4recsys.reporting.pages import render

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
REASONS = {
    "repeated_item": "the same item again in a session",
    "in_a_short_session": "in sessions of fewer than two events",
    "before_the_last_n": "before the last {session_length_max} of a session",
}
PAIR_COLUMNS = ("trained_on", "rows", "rows_later", "events_later", "trained_until", "evaluated_from")
TEMPLATE = """{% from "page_table.html" import table %}
{%- macro verdict(is_good, good, bad) -%}
<span class="{{ 'good' if is_good else 'bad' }}">{{ good if is_good else bad }}</span>
{%- endmacro -%}
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Data report</title>
<style>{% include "page_style.css" %}</style></head><body><main>
<h1>Data report, {{ period }}</h1>
{% if settings.split == "days" -%}
<p>Training files hold all sessions; each is in a valid or a test file as well.</p>
{%- endif %}
<div class="cards">{% for value, text in cards %}<div><b>{{ value | readable }}</b>{{ text }}</div>{% endfor %}</div>
<div class="plots">{% for plot in plots %}{{ plot }}{% endfor %}</div>
<h2>What was read, dropped and written</h2>
{{ table(("events", "number", "share"), accounts) }}
<p>{{ verdict(adds_up, "The counts add up.", "The counts do not add up.") }}
{%- if events_without_price %} {{ events_without_price | readable }} {{ "event has" if events_without_price == 1 else
"events have" }} no price.{% endif %}</p>
{% if checks -%}
<h2>What was checked before</h2>
{{ table(("check", "number"), checks) }}
{%- endif %}
<h2>Columns that became ids</h2>
<p>Of all events read that have an item, a time and a session, including those dropped afterwards.</p>
{{ table(("column", "values", "of one event", "events", "without a value", "share"), columns) }}
<h2>Leak check</h2>
<p>{{ leaks.rule }}</p>
{% if leaks.is_ok is none -%}
<p>The log has an order and no times, so times cannot be compared.</p>
{%- else -%}
<p>{{ verdict(leaks.is_ok, "Holds", "Broken") }} on {{ leaks.number }} of {{ leaks.pairs | length }} training files,
{{ leaks.rows | readable }} rows.</p>
{% if leaks.note %}<p>{{ leaks.note }} Here: {{ leaks.events_later | readable }}.</p>{% endif %}
<details><summary>All pairs</summary>{{ table(leaks.heads, leaks.table) }}</details>
{%- endif %}
<h2>{{ unit | capitalize }} by {{ unit }}</h2>
<details><summary>{{ days | length }} {{ unit }}{{ "" if days | length == 1 else "s" }}</summary>
{{- table(day_heads, days) }}</details>
</main></body></html>
"""


def page(report: dict[str, Any]) -> str:
    """Lay out what `contents.report_of` found; the template escapes every text in it."""
    days, unit = report["by_day"], report["settings"]["time_unit"]
    day_names = [name for name in days[0] if name != "users" or report["totals"]["users"]]
    names = ("settings", "adds_up", "events_without_price")
    values = dict(
        {name: report[name] for name in names},
        period=" to ".join(dict.fromkeys([days[0]["day"], days[-1]["day"]])),
        unit=unit,
        cards=_cards(report),
        plots=[Markup(plot) for plot in _plots(report)],
        accounts=_accounts(report),
        checks=[(name.replace("_", " "), count) for name, count in report["checks"].items()],
        columns=_columns(report),
        leaks=_leaks(report["leaks"]),
        day_heads=[unit if name == "day" else name.replace("_", " ") for name in day_names],
        days=[[day[name] for name in day_names] for day in days],
    )
    return render(TEMPLATE, values)


def _cards(report: dict[str, Any]) -> list[tuple[Any, str]]:
    totals, unit = report["totals"], report["settings"]["time_unit"]
    cards = [(totals[name], text.format(unit=unit)) for name, text in CARDS.items() if totals[name] is not None]
    shares = {"of events repeat an item": totals["repeats"] / totals["events"]}
    shares |= {f"of events on top {name} of items": top["share"] for name, top in report["popularity"]["top"].items()}
    return [*cards, *((f"{100 * share:.1f} %", text) for text, share in shares.items())]


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


def _accounts(report: dict[str, Any]) -> list[tuple[str, int, str]]:
    read = report["events_read"]
    rows = [("read", read)]
    for reason, count in report["events_dropped"].items():
        text = REASONS[reason] if reason in REASONS else str(reason).replace("_", " ")
        rows.append((f"dropped: {text.format(**report['settings'])}", -count))
    return [(name, n, _share(abs(n), read)) for name, n in [*rows, ("written", report["events_written"])]]


def _columns(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (name, c["values"], c["once"], c["events"], c["missing"], _share(c["missing"], c["events"]))
        for name, c in report["columns"].items()
    ]


def _leaks(leaks: dict[str, Any]) -> dict[str, Any]:
    pairs = leaks["pairs"]
    sums = {name: sum(pair[name] for pair in pairs) for name in ("rows", "events_later")}
    number = len(pairs) if leaks["is_ok"] else sum(bool(pair["rows_later"]) for pair in pairs)
    heads = [name.replace("_", " ") for name in PAIR_COLUMNS]
    table = [[pair[name] for name in PAIR_COLUMNS] for pair in pairs]
    return leaks | sums | {"number": number, "heads": heads, "table": table}


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"
