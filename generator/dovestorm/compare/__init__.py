"""Two streams held against each other: what is in them, in what order, how long it takes, and whether their sessions can be told apart."""

from __future__ import annotations

from dovestorm.compare.classifier import MissingExtraError, Separability, TooFewSessionsError, separability
from dovestorm.compare.comparing import SAMPLE, compare, compare_files
from dovestorm.compare.comparison import Comparison, Counted, Measured, StreamSummary
from dovestorm.compare.features import SessionShape, features
from dovestorm.compare.reading import Source
from dovestorm.compare.records import Record, RecordReader, records
from dovestorm.compare.sessions import Grouping, Session, group
from dovestorm.compare.text import to_text

__all__ = [
    "SAMPLE",
    "Comparison",
    "Counted",
    "Grouping",
    "Measured",
    "MissingExtraError",
    "Record",
    "RecordReader",
    "Separability",
    "Session",
    "SessionShape",
    "Source",
    "StreamSummary",
    "TooFewSessionsError",
    "compare",
    "compare_files",
    "features",
    "group",
    "records",
    "separability",
    "to_text",
]
