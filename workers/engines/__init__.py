"""Engines: each a module that satisfies `protocol.Engine`.

torch and transformers are imported under this package only, and only by the
engine that needs them.
"""
