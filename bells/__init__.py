"""What rings: Celery messages and Redis hints, all of which may be lost.

Owns every use of Redis. A bell carries job ids and nothing else; Postgres
holds the facts, and every listener also looks there by itself. Knows the
settings; it must not know jobs' states, Flask or torch.
"""
