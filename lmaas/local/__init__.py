"""Everything LMaaS starts on one machine: embedded servers and its processes.

Owns the folder `.lmaas/`, the embedded Postgres and Valkey, and the
supervisor. Knows the checkout's processes by their command lines; it must not
import a line of theirs.
"""
