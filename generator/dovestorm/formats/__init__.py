"""Formats: how a layout's records look as bytes. One module each, without hot code; the kernel does the work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError, nearest

if TYPE_CHECKING:
    from dovestorm.batch import Layout
    from dovestorm.formats.rendering import Renderer

__all__ = ["TIME_FORMATS", "names", "renderer"]

TIME_FORMATS = ("rfc3339", "unix")
"""The two time formats of Dovecot's exporters."""

_NAMES = ("dovecot-stats", "json", "msgpack", "tab-text")


def names() -> tuple[str, ...]:
    """The known formats, sorted."""
    return _NAMES


def renderer(name: str, layout: Layout, *, time_format: str = "rfc3339") -> Renderer:
    """Compile ``layout`` for the format ``name``.

    Raises:
        UsageError: Unknown format or time format.
        FormatError: The layout does not hold together.
    """
    if name not in _NAMES:
        raise UsageError(f"unknown format '{name}'{nearest(name, _NAMES)}: {', '.join(_NAMES)} are known")
    if time_format not in TIME_FORMATS:
        raise UsageError(f"unknown time format '{time_format}'{nearest(time_format, TIME_FORMATS)}: {', '.join(TIME_FORMATS)} are known")
    from dovestorm.formats.rendering import Renderer

    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    return Renderer(name, layout, module.dialect(layout, unix=time_format == "unix"))
