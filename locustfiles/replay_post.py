"""Replay a scenario as Dovecot's http-post exporter sends it: one event in each POST, to the address that --host names.

locust -f replay_post.py --headless -u 20 --host http://127.0.0.1:8080/events --scenario working-day --speed 1
"""

from dovestorm.load import PostUser


class ReplayPost(PostUser):
    """One HTTP connection that is kept alive."""
