"""gunicorn's configuration: threads that mostly sleep in waiting polls."""

from pathlib import Path

from jobs.settings import load

_settings = load()

bind = f"{_settings.web_host}:{_settings.web_port}"
workers = _settings.web_processes
worker_class = "api.gunicorn_worker.ThreadWorker"
# Every waiting poll and every file on its way may take one; the rest are for submits and health.
threads = _settings.max_waiters + _settings.max_transfers + 32
worker_connections = 4 * threads
keepalive = 75
# Polls wait up to a minute; the arbiter asks for a sign of life, not an answer.
timeout = 90
# What runs may end in this time; those who wait get an answer some seconds before it is over.
graceful_timeout = int(min(15, max(6, _settings.drain_s)))
accesslog = None
errorlog = "-"
loglevel = "warning"
# A heartbeat file; a disk could block it.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
