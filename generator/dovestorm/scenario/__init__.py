"""Scenarios: the language in which mail-server sessions are described, checked and turned into plain data."""

from __future__ import annotations

from dovestorm.scenario.loader import check, load, load_text, shipped
from dovestorm.scenario.model import Scenario
from dovestorm.scenario.schema import schema

__all__ = ["Scenario", "check", "load", "load_text", "schema", "shipped"]
