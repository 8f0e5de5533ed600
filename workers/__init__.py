"""Runs language-model jobs: a Celery worker that hosts one model version.

Owns the Job Handler (claim, run, commit), the Model Server (one loaded model)
and its engines. Knows the core, the bells and the Model Store's files; it must
not know the dispatcher (it never chooses between jobs) nor Flask.
"""
