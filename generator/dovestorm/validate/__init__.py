"""The validator: is this stream what the catalog and the order of things allow?"""

from __future__ import annotations

from dovestorm.validate.files import validate_file
from dovestorm.validate.report import Example, Finding, Report
from dovestorm.validate.rules import RULES, Rule, Severity, rules_table
from dovestorm.validate.validator import FORMATS, Validator

__all__ = ["FORMATS", "RULES", "Example", "Finding", "Report", "Rule", "Severity", "Validator", "rules_table", "validate_file"]
