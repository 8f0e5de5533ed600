"""Decides which queued jobs are next, and sees to what is neither next nor now.

Owns the tick (release), the reaper (dead leases), the view of the cluster and
the housekeeper. Knows the core and the bells; it must not know how a job runs
(engines, torch) nor how it came in (Flask).
"""
