"""The core that all processes share: the job, its states, its record.

Owns the job envelope (`spec`), the state graph (`states`), the tables
(`records`) and the only writer of a job's state (`task_manager`). Knows the
standard library, SQLAlchemy and pydantic; it must not know Flask, Celery,
Redis or torch.
"""
