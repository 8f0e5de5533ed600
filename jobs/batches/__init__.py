"""Batches: a file of requests, each line of which becomes a job.

Owns the tables of batches and their lines, the SQL that moves them, and what may
be seen of them. Knows jobs as rows and counts; must not know files, bodies or HTTP.
"""
