"""Benchmarks: ratios taken side by side in one run, printed as a table, kept as JSON.

`make bench` runs them; docs/benchmarks.md quotes what they wrote.
"""
