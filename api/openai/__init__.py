"""The routes that OpenAI's clients know, over the same jobs as all others.

Owns the shapes of that API: request fields, answers, chunks, errors, sequence
numbers. Knows the front end's parts; nothing of the front end knows it but
`api.app`, and nothing here bypasses the Request Router or the queue.
"""
