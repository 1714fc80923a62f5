"""Validating a file or standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.validate.json_lines import UnreadableError
from dovestorm.validate.sources import chunks
from dovestorm.validate.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from dovestorm.catalog.model import Edition
    from dovestorm.validate.report import Report

__all__ = ["validate_file"]


def validate_file(
    path: str | Path,
    edition: Edition | str,
    *,
    max_examples: int = 5,
    sections: Collection[str] | None = None,
    format: str = "auto",  # noqa: A002 - the word of the command line
    unordered: bool = False,
    complete: bool = False,
    ignore_unknown_events: bool = False,
) -> Report:
    """Validate a file, or standard input for ``-``; gzip and zstd are unpacked on the way.

    Args:
        path: The file.
        edition: The catalog's edition, or its version.
        max_examples, sections, format, unordered, complete, ignore_unknown_events: As for ``Validator``.

    Raises:
        InputError: The file cannot be read.
        UsageError: An unknown version, section or format.
    """
    if isinstance(edition, str):
        from dovestorm import catalog

        edition = catalog.load(edition)
    validator = Validator(
        edition,
        max_examples=max_examples,
        sections=sections,
        format=format,
        unordered=unordered,
        complete=complete,
        ignore_unknown_events=ignore_unknown_events,
    )
    try:
        for chunk in chunks(path):
            validator.feed(chunk)
    except UnreadableError as error:
        validator.misread(str(error))
    return validator.finish()
