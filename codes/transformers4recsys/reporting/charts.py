"""Line and bar charts as SVG, for a page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 36, 30, 40
# Rows with names in front.
WIDE_LEFT, ROW_HEIGHT = 190, 24
# Told apart on white and on black, and by people who see few colours.
COLOURS = ("#3b82f6", "#e08a1e", "#0f9d76", "#c2569f", "#8b6fd6", "#a3862c", "#58a7c9", "#d6604d")
MARKED = 40
# Half the width of a character on a narrow screen, where text is larger; longer names lose their middle.
HALF_CHARACTER, LONGEST_NAME = 4.2, 21
Number = TypeVar("Number", int, float)


def colour_of(number: int) -> tuple[str, bool]:
    """Give the colour of a series, and whether its line is dashed, as it is once all colours were used."""
    return COLOURS[number % len(COLOURS)], number // len(COLOURS) % 2 == 1


@dataclass(frozen=True)
class Axis:
    """A range of values on `start` to `end`, in pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.is_log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / ((high - low) or 1)

    def ticks(self) -> list[float]:
        """Choose three to seven round values; powers of ten on a logarithmic axis."""
        if self.is_log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**n for n in range(first, last + 1) if self.low <= 10.0**n <= self.high]
        rough = (self.high - self.low) / 5 or 1
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [n * step for n in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


def format_number(value: float, *, is_share: bool = False) -> str:
    """Write a number in few characters: 1.2k, 3.4M, 25 %."""
    if is_share:
        return f"{100 * value:.3g} %"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def lines(
    title: str,
    xs: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_name: str = "",
    x_labels: Sequence[str] | None = None,
    is_log: bool = False,
    is_share: bool = False,
    has_legend: bool = True,
) -> str:
    """Draw one line a series over `xs`, which passes over values that are None.

    `x_labels` name each x where it is not a number, `is_log` is for both axes.
    """
    highest = max((value for values in series.values() for value in values if value is not None), default=1)
    x_axis = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, is_log)
    y_axis = Axis(1 if is_log else 0, (highest or 1) * (1.3 if is_log else 1.05), HEIGHT - BOTTOM, TOP, is_log)
    parts = _frame(title, y_axis, is_share=is_share, x_name=x_name)
    names = dict(zip(xs, x_labels, strict=True)) if x_labels else None
    parts += _x_axis(x_axis, _spread(xs) if names else x_axis.ticks(), names)
    for number, (name, values) in enumerate(series.items()):
        colour, is_dashed = colour_of(number)
        dashes = ' stroke-dasharray="5 3"' if is_dashed else ""
        texts = x_labels or list(map(format_number, xs))
        known = [(x, text, y) for x, text, y in zip(xs, texts, values, strict=True) if y is not None]
        path = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, _, y in known)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
        if len(xs) <= MARKED:
            for x, text, y in known:
                tip = escape(f"{text}: {format_number(y, is_share=is_share)} {name}")
                place = f'cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}"'
                parts.append(f'<circle {place} r="2.6" fill="{colour}"><title>{tip}</title></circle>')
        if len(series) > 1 and has_legend:
            parts.append(_legend(len(series) - number, name, colour))
    return _svg(title, parts)


def points(
    title: str,
    values: Sequence[tuple[float, float]],
    *,
    y_name: str,
    labels: Sequence[str] | None = None,
    is_log: bool = False,
) -> str:
    """Draw a dot a pair of x and y, from the lowest y to the highest; `labels` name each x from 0."""
    xs, ys = zip(*values, strict=True)
    x_axis = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, is_log)
    y_axis = Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = _frame(title, y_axis, is_share=False, x_name="")
    names = dict(enumerate(labels)) if labels else None
    parts += _x_axis(x_axis, list(names or x_axis.ticks()), names)
    for x, y in values:
        tip = escape(f"{labels[int(x)] if labels else format_number(x)}: {y_name} {y:.4f}")
        place = f'cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}"'
        parts.append(f'<circle {place} r="4" fill="{COLOURS[0]}" fill-opacity=".7"><title>{tip}</title></circle>')
    return _svg(title, parts)


def bars(title: str, labels: Sequence[str], values: Sequence[float], *, x_name: str = "") -> str:
    """Draw one bar a value."""
    y_axis = Axis(0, max(values, default=1) * 1.05 or 1, HEIGHT - BOTTOM, TOP)
    parts = _frame(title, y_axis, is_share=False, x_name=x_name)
    slot = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, top = LEFT + slot * number, y_axis.place(value)
        parts.append(
            f'<rect x="{x + slot * 0.1:.1f}" y="{top:.1f}" width="{slot * 0.8:.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{COLOURS[0]}">'
            f"<title>{escape(label)}: {value:,}</title></rect>"
        )
    shown = _spread(range(len(labels)), at_most=20)
    parts += _x_labels([LEFT + slot * (number + 0.5) for number in shown], [labels[number] for number in shown])
    return _svg(title, parts)


def intervals(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draw a dot and its interval a row: name, value, low, high; a line marks 0."""
    ends = [0.0, *(value for _, *values in rows for value in values)]
    x_axis = Axis(min(ends), max(ends), WIDE_LEFT, WIDTH - RIGHT)
    height = TOP + ROW_HEIGHT * len(rows) + BOTTOM
    parts = [f'<text x="12" y="16" font-weight="bold">{escape(title)}</text>']
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        opacity = ".6" if tick == 0 else ".15"
        line = f'x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - BOTTOM}"'
        parts.append(f'<line {line} stroke="currentColor" stroke-opacity="{opacity}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{tick:.3g}</text>')
    for number, (name, value, low, high) in enumerate(rows):
        y = TOP + ROW_HEIGHT * (number + 0.5)
        colour = COLOURS[0] if low <= 0 <= high else COLOURS[2] if low > 0 else COLOURS[7]
        parts.append(f'<text x="{WIDE_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(name))}</text>')
        line = f'x1="{x_axis.place(low):.1f}" y1="{y:.1f}" x2="{x_axis.place(high):.1f}" y2="{y:.1f}"'
        parts.append(f'<line {line} stroke="{colour}" stroke-width="2.5"/>')
        tip = escape(f"{name}: {value:.4f}, from {low:.4f} to {high:.4f}")
        parts.append(
            f'<circle cx="{x_axis.place(value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{tip}</title></circle>'
        )
    return _svg(title, parts, height)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:10]}...{name[-10:]}"


def _spread(values: Sequence[Number], at_most: int = 6) -> list[Number]:
    step = math.ceil(len(values) / at_most)
    return list(values)[::step]


def _frame(title: str, y_axis: Axis, *, is_share: bool, x_name: str) -> list[str]:
    parts = [f'<text x="12" y="16" font-weight="bold">{escape(title)}</text>']
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        line = f'x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"'
        parts.append(f'<line {line} stroke="currentColor" stroke-opacity=".15"/>')
        text = format_number(tick, is_share=is_share)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>')
    return parts


def _x_axis(axis: Axis, ticks: Sequence[float], names: Mapping[Any, str] | None) -> list[str]:
    texts = [names[tick] if names else format_number(tick) for tick in ticks]
    return _x_labels([axis.place(tick) for tick in ticks], texts)


def _x_labels(xs: Sequence[float], texts: Sequence[str]) -> list[str]:
    """Write labels below an axis, whole ones at its ends; pages for narrow screens leave every other one out."""
    parts: list[str] = []
    for number, (x, text) in enumerate(zip(xs, texts, strict=True)):
        x = min(x, WIDTH - 4 - HALF_CHARACTER * len(text))
        kind = ' class="minor"' if number % 2 else ""
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle"{kind}>{escape(text)}</text>')
    return parts


def _legend(place: int, name: str, colour: str) -> str:
    x = WIDTH - RIGHT - 90 * place
    return (
        f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/><text x="{x + 15}" y="17">{escape(name)}</text>'
    )


def _svg(title: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="11" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )
