"""A progress bar on standard error, only where somebody watches."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dovestorm.delivery import RunEvent

__all__ = ["progress_listener"]

_TICKS_PER_S = 10


@contextmanager
def progress_listener(*, asked: int | None, quiet: bool, seconds: float | None = None) -> Iterator[Callable[[RunEvent], None] | None]:
    """Give a listener for a run's events that draws a bar; None when nobody watches.

    The bar goes to ``asked`` events, or else to ``seconds``; when neither is known, it is a running count.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from dovestorm.delivery import Progress

    length = asked or round((seconds or 0) * _TICKS_PER_S)
    template = "%(label)s  [%(bar)s]  %(info)s" if length else "%(label)s"
    with click.progressbar(length=length, label="events", file=sys.stderr, width=30, bar_template=template) as bar:

        def listen(event: RunEvent) -> None:
            if isinstance(event, Progress):
                rate = event.made / event.seconds if event.seconds else 0.0
                bar.label = f"{event.made:,} events, {rate:,.0f}/s, {event.made_bytes / 1e6:,.0f} MB"
                done = event.made if asked else round(event.seconds * _TICKS_PER_S)
                bar.update(done - bar.pos)

        yield listen
