"""Live a scenario's mail sessions: every Locust user one session after another, each event leaving at its own moment.

locust -f replay_sessions.py --headless -u 500 -r 100 --host tcp://127.0.0.1:5170 --scenario working-day --speed 10
"""

from dovestorm.load import SessionUser


class ReplaySessions(SessionUser):
    """A mail client: it thinks, waits for its server, logs out, and comes back as somebody else."""
