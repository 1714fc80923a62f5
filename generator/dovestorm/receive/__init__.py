"""The reference consumer: takes what sinks send, counts it, checks it, keeps it. Tests, the demo and users hold senders against it."""

from dovestorm.receive.place import Place, parse_place
from dovestorm.receive.receiver import Receiver
from dovestorm.receive.summary import Summary

__all__ = ["Place", "Receiver", "Summary", "parse_place"]
