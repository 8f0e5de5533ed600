"""The front end: HTTP in, HTTP out.

Owns the routes, authentication, the Request Router and waiting polls. Knows
the core, the Model Store's catalogue and renderer, and the bells; it must not
know how a job runs (no worker, no torch), and no background work is done in
its threads.
"""
