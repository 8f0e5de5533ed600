"""A continuous-batching engine for decoder language models.

Owns one loaded Hugging Face model, its KV cache, its running batch and its
sampler. Knows nothing of jobs, leases, queues or databases.
"""

from workers.engines.lm.engine import LmEngine

__all__ = ["LmEngine"]
