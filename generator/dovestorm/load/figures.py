"""A run in figures, while it goes on and after: for the page's charts, the report's section, CSV and OpenMetrics."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from dovestorm.load.report import quantiles_ms
from dovestorm.load.statistics import COUNTS, Row
from dovestorm.sinks.target import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.delivery.quantiles import QuantileSketch
    from dovestorm.load.run import Run
    from dovestorm.load.statistics import DeliveryStatistics

__all__ = ["OPENMETRICS_TYPE", "figures", "to_csv", "to_openmetrics"]

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_POINTS = 400
"""A chart has no more points; neighbours are put together."""
_LATE_S = 1.0
"""A worker's report may come so late; before that a second is not whole."""
_SHORTEST_S = 0.1
_OWN_POINT_S = 0.25
"""A last second of which there is no more is put together with the one before."""
_SUMS = frozenset({"offered", "events", "bytes", "undelivered", "failures"})
_MEDIANS = frozenset({"lateness_p50_ms", "service_p50_ms"})
_EVENTS = Row.names().index("events")


def figures(run: Run | None, *, last_s: int | None = None) -> dict[str, Any]:
    """All that the page shows, as plain values.

    Args:
        run: The run, or None before the first.
        last_s: How many seconds the charts show, up to now; None for all.
    """
    if run is None:
        return {"state": "none", "columns": Row.names(), "rows": []}
    whole, plan, report = run.statistics.whole, run.plan, run.report
    # A stop button may come long after the last delivery: the report knows when that was.
    seconds, offered = (run.elapsed, run.offered) if report is None else (report.seconds, report.offered)
    rows = run.statistics.rows(since=0 if last_s is None else max(0, int(seconds) - last_s))
    return {
        "state": "ended" if report else "sending" if run.elapsed else "preparing",
        "target": parse(plan.host).shown,
        "scenario": plan.source.recording or plan.source.scenario,
        "is_open": plan.is_open,
        "is_acknowledged": plan.is_acknowledged,
        "workers": len(run.table.workers) if report is None else report.workers,
        "shards": len(run.table.shards),
        "seconds": seconds,
        "offered": offered,
        "offered_per_s": offered / seconds if seconds else 0.0,
        "achieved_per_s": whole.events / seconds if seconds else 0.0,
        **{name: getattr(whole, name) for name in COUNTS if name != "offered"},
        "lateness_ms": quantiles_ms(whole.lateness_us),
        "service_ms": quantiles_ms(whole.service_us),
        "notes": [*(takeover.to_text() for takeover in run.table.takeovers), *(report.troubles if report else ())],
        "outcomes": [{"text": outcome.to_text(), "passed": outcome.passed} for outcome in report.outcomes] if report else [],
        "verdict": report.verdict if report else "",
        "columns": Row.names(),
        "rows": _thinned(_whole_seconds(rows, seconds, ended=report is not None)),
    }


def to_csv(statistics: DeliveryStatistics) -> str:
    """A line for each second of the run; the columns are those of ``Row``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row.names())
    writer.writerows([getattr(row, name) for name in Row.names()] for row in statistics.rows())
    return text.getvalue()


def to_openmetrics(run: Run | None) -> str:
    """The run's sums and distributions as OpenMetrics text; counters begin anew with each run."""
    lines: list[str] = []
    if run is not None:
        whole = run.statistics.whole
        sums = {
            "events_offered": (run.offered, "Events that were due."),
            "events_delivered": (whole.events, "Events acknowledged, or written where the protocol has no acknowledgement."),
            "events_undelivered": (whole.undelivered, "Events given up after all retries."),
            "events_retried": (whole.retries, "Events sent more than once."),
            "deliveries": (whole.deliveries, "Batches or POSTs delivered whole."),
            "delivery_failures": (whole.failures, "Batches or POSTs that failed."),
            "reconnects": (whole.reconnects, "Connections after the first of each user."),
        }
        for name, (value, text) in sums.items():
            lines += [f"# TYPE dovestorm_{name} counter", f"# HELP dovestorm_{name} {text}", f"dovestorm_{name}_total {value}"]
        lines += ["# TYPE dovestorm_delivered_bytes counter", "# UNIT dovestorm_delivered_bytes bytes"]
        lines += ["# HELP dovestorm_delivered_bytes Size of the delivered events.", f"dovestorm_delivered_bytes_total {whole.bytes}"]
        waiting = max(run.offered - whole.events - whole.undelivered - whole.unasked, 0)
        lines += ["# TYPE dovestorm_backlog_events gauge", "# UNIT dovestorm_backlog_events events"]
        lines += ["# HELP dovestorm_backlog_events Events due and neither delivered nor given up.", f"dovestorm_backlog_events {waiting}"]
        lines += ["# TYPE dovestorm_workers gauge", "# HELP dovestorm_workers Workers in the run.", f"dovestorm_workers {len(run.table.workers)}"]
        lines += _summary("lateness", "Due moment to acknowledgement or end of write, each event.", whole.lateness_us)
        lines += _summary("service", "Begin of sending to acknowledgement or end of write, each event.", whole.service_us)
    return "\n".join([*lines, "# EOF", ""])


def _summary(name: str, text: str, sketch: QuantileSketch) -> list[str]:
    full = f"dovestorm_{name}_seconds"
    lines = [f"# TYPE {full} summary", f"# UNIT {full} seconds", f"# HELP {full} {text}"]
    lines += [f'{full}{{quantile="{share}"}} {sketch.quantile(share) / 1e6}' for share in (0.5, 0.9, 0.99, 0.999)] if sketch.count else []
    return [*lines, f"{full}_sum {sketch.total / 1e6}", f"{full}_count {sketch.count}"]


def _whole_seconds(rows: Sequence[Row], seconds: float, *, ended: bool) -> list[list[float]]:
    """The rows as lists; what is left after the last whole second of a run that has ended is a point of its own, or put together with that second."""
    until = int(seconds) if ended else int(seconds - _LATE_S)
    found = [_plain(row) for row in rows if row.second < until]
    rest = [_plain(row) for row in rows if row.second >= until] if ended else []
    if rest:
        last = [found.pop(), *rest] if found and seconds - rest[0][0] <= _OWN_POINT_S else rest
        found.append(_together(last, length=max(seconds - last[0][0], _SHORTEST_S)))
    return found


def _plain(row: Row) -> list[float]:
    return [getattr(row, name) for name in Row.names()]


def _together(rows: Sequence[Sequence[float]], *, length: float) -> list[float]:
    """Rows as one that is ``length`` seconds long: counts become means a second, medians their mean, the rest keeps its largest."""
    delivered = [row for row in rows if row[_EVENTS]] or rows
    joined = [max(column) for column in zip(*rows, strict=True)]
    joined[0] = rows[0][0]
    for place, name in enumerate(Row.names()):
        if name in _SUMS:
            joined[place] = sum(row[place] for row in rows) / length
        elif name in _MEDIANS:
            joined[place] = sum(row[place] for row in delivered) / len(delivered)
    return joined


def _thinned(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Neighbours put together until ``_POINTS`` are left."""
    size = -(-len(rows) // _POINTS) or 1
    return [_together(rows[at : at + size], length=len(rows[at : at + size])) for at in range(0, len(rows), size)]
