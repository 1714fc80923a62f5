"""Replay a scenario at high volume to the sink that --host names, such as tcp://127.0.0.1:5170.

locust -f replay_stream.py --headless -u 1 -t 10s --host tcp://127.0.0.1:5170 --scenario working-day
"""

from dovestorm.load import ReplayUser


class ReplayStream(ReplayUser):
    """One connection that sends block after block."""
