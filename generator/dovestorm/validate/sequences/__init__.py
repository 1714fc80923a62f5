"""Rules over several records: pairs, sessions, running counts. ``assemble`` wires those that an edition's fields can decide."""

from __future__ import annotations

from dovestorm.validate.sequences.rulebook import Rulebook, assemble

__all__ = ["Rulebook", "assemble"]
