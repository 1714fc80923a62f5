"""A progress bar on standard error, only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dovestorm.delivery import RunEvent

__all__ = ["progress_listener"]


@contextmanager
def progress_listener(*, asked: int | None, quiet: bool) -> Iterator[Callable[[RunEvent], None] | None]:
    """Give a listener for a run's events that draws a bar (or a running count when the end is not known); None when nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from dovestorm.delivery import Progress

    seen = 0
    with click.progressbar(length=asked or 0, label="events", file=sys.stderr, show_pos=True, width=30 if asked else 0) as bar:
        bar.show_eta = asked is not None

        def listen(event: RunEvent) -> None:
            nonlocal seen
            if isinstance(event, Progress):
                rate = event.made / event.seconds if event.seconds else 0.0
                bar.label = f"{event.made:,} events, {rate:,.0f}/s, {event.made_bytes / 1e6:,.0f} MB"
                bar.update(event.made - seen)
                seen = event.made

        yield listen
