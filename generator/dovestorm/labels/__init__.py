"""Ground truth: which sessions of a stream belong to a behaviour that its scenario planted."""

from __future__ import annotations

from dovestorm.labels.collecting import Collection, Label
from dovestorm.labels.file import LabelFile

__all__ = ["Collection", "Label", "LabelFile"]
