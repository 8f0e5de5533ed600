"""An engine that reads: texts of all jobs, in batches of about one length, become vectors.

Owns one loaded Hugging Face encoder and the texts that wait for it. Knows nothing
of jobs, leases, queues or databases.
"""

from workers.engines.encoder.engine import EncoderEngine

__all__ = ["EncoderEngine"]
