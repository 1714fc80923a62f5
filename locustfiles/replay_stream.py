"""Replay a scenario, or a recorded file, at high volume to the sink that --host names, such as tcp://127.0.0.1:5170.

locust -f replay_stream.py --headless -u 4 --host tcp://127.0.0.1:5170 --scenario working-day --rate 200000/s --send-for 30s
"""

from dovestorm.load import StreamUser


class ReplayStream(StreamUser):
    """One connection that sends batches, each at its due moment."""
