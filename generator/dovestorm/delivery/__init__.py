"""Bringing a stream of blocks to its sinks: pacing, counting, interruption, and the report at the end."""

from dovestorm.delivery.ahead import QUEUE_DEPTH, VALID_BLOCKS
from dovestorm.delivery.deliver import deliver
from dovestorm.delivery.events import Finished, Progress, RunEvent, Started
from dovestorm.delivery.pacing import Pacer
from dovestorm.delivery.report import Lateness, Report, SinkReport

__all__ = ["QUEUE_DEPTH", "VALID_BLOCKS", "Finished", "Lateness", "Pacer", "Progress", "Report", "RunEvent", "SinkReport", "Started", "deliver"]
