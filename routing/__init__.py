"""From a request's body to a job, and from an ended job to an answer's body; no HTTP.

Used by the front end for single requests and by the housekeeper for the lines of
batches, so that a line means exactly what the same body means at the front door.
Owns the Request Router, the shapes of OpenAI's bodies, and what an error says.
Knows the core and the Model Store; must not know Flask, Redis or how a job runs.
"""
