"""Draws what was measured over time as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from attrs import frozen

_WIDTH, _HEIGHT, _LEFT, _GAP = 960, 130, 60, 50


@frozen
class Panel:
    """One line over time; None where nothing could be measured."""

    title: str
    times: Sequence[float]
    values: Sequence[float | None]


def draw(heading: str, panels: Sequence[Panel], marks: Sequence[float]) -> str:
    """The panels, one below the other, each with a thin line at every mark."""
    end = max([1.0, *(time for panel in panels for time in panel.times), *marks])
    height = 40 + len(panels) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}">',
        "<style>text { font: 12px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20">{escape(heading)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _draw_panel(panel, 50 + number * (_HEIGHT + _GAP), end, marks)
    return "\n".join([*parts, "</svg>\n"])


def _draw_panel(panel: Panel, top: float, end: float, marks: Sequence[float]) -> list[str]:
    most = max([1.0, *(value for value in panel.values if value is not None)])
    bottom = top + _HEIGHT

    def x(time: float) -> str:
        return f"{_LEFT + time / end * _WIDTH:.1f}"

    lines = [
        f'<path d="M{x(mark)} {top}V{bottom}" stroke="#e8a0a0" stroke-width="0.5"/>'
        for mark in marks
    ]
    path, pen = "", "M"
    for time, value in zip(panel.times, panel.values, strict=True):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{x(time)} {bottom - value / most * _HEIGHT:.1f}"
        pen = "L"
    return [
        f'<text x="{_LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{most:g}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{bottom + 14}" text-anchor="end">{end / 60:.0f} min</text>',
        f'<path d="M{_LEFT} {top}V{bottom}H{_LEFT + _WIDTH}" stroke="#888" fill="none"/>',
        *lines,
        f'<path d="{path}" stroke="#1f4e9c" fill="none"/>',
    ]
