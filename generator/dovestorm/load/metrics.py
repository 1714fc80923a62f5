"""A run's figures as OpenMetrics, at an address or in a file; with Locust's web page and without it."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pywsgi import WSGIServer

from dovestorm.errors import UsageError
from dovestorm.load import run as runs
from dovestorm.load.figures import OPENMETRICS_TYPE, to_openmetrics
from dovestorm.load.places import Listening, read_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust.env import Environment

__all__ = ["offer_metrics", "write_metrics"]

_EVERY_S = 1.0


def offer_metrics(environment: Environment) -> None:
    """Do what ``--openmetrics`` asks for, if it is given: answer scrapes of ``/metrics``, or write a file anew each second, until the program ends.

    Raises:
        UsageError: The option makes no sense, the address cannot be listened at, or the file cannot be written.
    """
    try:
        place = _place(environment)
        if isinstance(place, Listening):
            _serve(environment, place)
        elif place is not None:
            write_metrics(environment)
            gevent.spawn(_rewrite, environment)
    except (ValueError, OSError) as error:
        raise UsageError(f"--openmetrics '{_text(environment)}': {_reason(error)}") from None


def write_metrics(environment: Environment) -> None:
    """Write the file, if one is asked for; who reads it sees the old text or the new one, never a part."""
    path = _place(environment)
    if not isinstance(path, Path):
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(to_openmetrics(runs.of(environment)), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _place(environment: Environment) -> Listening | Path | None:
    text = _text(environment)
    return read_place(text) if text else None


def _reason(error: Exception) -> str:
    # gevent writes the address, which the option names already, behind the system's words.
    return str(getattr(error, "strerror", None) or error).partition(": (")[0]


def _text(environment: Environment) -> str:
    return getattr(environment.parsed_options, "openmetrics", None) or ""


def _rewrite(environment: Environment) -> None:
    while True:
        gevent.sleep(_EVERY_S)
        with contextlib.suppress(OSError):  # a disk that is full now may have room later; the last text is written with the report
            write_metrics(environment)


def _serve(environment: Environment, place: Listening) -> None:
    server = WSGIServer((place.host, place.port), partial(_answer, environment), log=None, error_log=None)
    server.start()
    sys.stderr.write(f"dovestorm: OpenMetrics at http://{Listening(place.host, server.server_port).to_text()}/metrics\n")
    sys.stderr.flush()


def _answer(environment: Environment, request: dict[str, Any], start: Any) -> Iterable[bytes]:
    if request["PATH_INFO"] != "/metrics":
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"the figures are at /metrics\n"]
    start("200 OK", [("Content-Type", OPENMETRICS_TYPE), ("Cache-Control", "no-store")])
    return [to_openmetrics(runs.of(environment)).encode()]
