"""A terminal of which the whole screen is one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text


@contextmanager
def screen() -> Iterator[Callable[[str], None]]:
    """Replace the screen by each text; the former screen comes back at the end."""
    with Live(screen=True, auto_refresh=False) as live:
        yield lambda text: live.update(Text(text), refresh=True)
