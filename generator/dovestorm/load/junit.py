"""The verdict as JUnit XML, which CI systems show."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from dovestorm.load.report import LoadReport

__all__ = ["to_junit"]


def to_junit(report: LoadReport) -> str:
    """One test case for the delivery, and one for each threshold."""
    failed_delivery = "nothing was delivered" if not report.statistics.whole.events else ""
    if report.exit_code and not failed_delivery and all(outcome.passed for outcome in report.outcomes):
        failed_delivery = "not all was delivered"
    judged = [(outcome.threshold.text, "" if outcome.passed else f"{outcome.threshold.text}: {outcome.found}") for outcome in report.outcomes]
    cases = [("delivery", failed_delivery), *judged]
    suite = ET.Element(
        "testsuite",
        name=f"dovestorm load {report.scenario}",
        tests=str(len(cases)),
        failures=str(sum(bool(failure) for _, failure in cases)),
        errors="0",
        time=f"{report.seconds:.3f}",
    )
    for number, (name, failure) in enumerate(cases):
        # CI systems add the times up: the run took place once.
        case = ET.SubElement(suite, "testcase", classname="dovestorm.load", name=name, time="0" if number else f"{report.seconds:.3f}")
        if failure:
            ET.SubElement(case, "failure", message=failure)
    ET.SubElement(suite, "system-out").text = report.to_text()
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"
