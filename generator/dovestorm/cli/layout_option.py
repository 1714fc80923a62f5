"""The option that says how a stream that is read looks."""

from __future__ import annotations

import click

from dovestorm import registry

__all__ = ["layout_option"]

layout_option = click.option(
    "--format",
    "layout",
    type=click.Choice(["auto", *registry.READABLE]),
    default="auto",
    show_default=True,
    help="Format; auto goes by the first bytes.",
)
"""``--format``, as ``layout``: one of the formats that can be read, or ``auto``."""
