"""The plan of a Locust environment: its options, those that the web page's form sends, and what its users take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.errors import UsageError
from dovestorm.load.plan import Plan, read_plan
from dovestorm.load.shaping import RateShape
from dovestorm.sinks.target import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from locust.env import Environment

__all__ = ["plan_of", "refuse_shared_file", "worker_count"]


def plan_of(environment: Environment, *, form: Mapping[str, str] | None = None, check: bool = True) -> Plan:
    """Read the options that an environment has now.

    Args:
        environment: Locust's.
        form: What the web page's start form is about to change in them.
        check: See ``read_plan``.

    Raises:
        UsageError: Something is wrong with them; every fault is named, a line each.
    """
    options = {**(vars(environment.parsed_options) if environment.parsed_options else {}), **(form or {})}
    if isinstance(environment.shape_class, RateShape):
        options["shape"] = options.get("shape") or environment.shape_class.curve
    units = {getattr(user_class, "unit", "batch") for user_class in environment.user_classes}
    if len(units) > 1:
        raise UsageError("users that take batches, events and sessions cannot share one run: pick one kind")
    host = environment.host if form is None else form.get("host", environment.host)
    return read_plan(options, host=host, unit=units.pop() if units else "batch", check=check)


def worker_count(environment: Environment) -> int:
    """How many workers there are; 1 for a process that is master and worker."""
    return getattr(environment.runner, "worker_count", 1) or 1


def refuse_shared_file(plan: Plan, environment: Environment) -> None:
    """Raise ``UsageError`` if all workers would write one and the same file."""
    workers = worker_count(environment)
    if workers > 1 and parse(plan.host).scheme == "file" and "{worker}" not in plan.host:
        raise UsageError(
            f"{plan.host}: {workers} workers would overwrite each other; put {{worker}} into the name, it stands for the worker's number"
        )
