"""The Model Store: language models as checked, numbered, unchangeable folders.

Owns imports, checks, versions, aliases, the files on disk, and the rendering
of prompts to token ids. Must not know torch, transformers, Flask, Celery or
Redis, nor who hosts a model.
"""
