"""A Locust load shape that leads the rate of events, for locustfiles that name a shape as Locust has them name it."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape

from dovestorm.load import run as runs

__all__ = ["RateShape"]


class RateShape(LoadTestShape):
    """The users stay as many as asked for, the rate follows ``curve``: a subclass in a locustfile says which, ``--shape`` overrules it.

    Attributes:
        curve: A shape as ``--shape`` takes it, such as ``ramp:from=0/s,to=50000/s,over=1min``.
    """

    abstract = True
    use_common_options = True
    curve: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._former: runs.Run | None = None

    def reset_time(self) -> None:
        """A run begins: the report of the one before does not end it."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._former = runs.of(self.runner.environment) if self.runner else None

    def tick(self) -> tuple[int, float] | None:
        """As many users as asked for, until the run is over."""
        assert self.runner is not None
        run = runs.of(self.runner.environment)
        if run is not None and run is not self._former and run.report is not None:
            return None
        options = self.runner.environment.parsed_options
        return (getattr(options, "num_users", None) or 1, float(getattr(options, "spawn_rate", None) or 1))
