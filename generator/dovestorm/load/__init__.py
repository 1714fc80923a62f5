"""Locust users that replay streams. The only part of the package that imports Locust."""

from dovestorm.load.replay import ReplayUser

__all__ = ["ReplayUser"]
