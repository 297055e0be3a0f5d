"""The composition root and the supervision tree: what is made of what, who watches whom, and the orderly stop."""

from daemon.app.main import run_daemon

__all__ = ["run_daemon"]
