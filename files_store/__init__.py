"""The files room: bytes that tenants upload and that LMaaS writes for them.

Owns the contents on shared storage, the rows that name them, uploads in parts,
and the promise that a row means readable bytes. Must not know Flask, Celery,
Redis, jobs or what stands in a file.
"""
