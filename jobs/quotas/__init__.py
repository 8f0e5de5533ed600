"""What a tenant may ask for: requests and tokens per minute, queued work, storage.

A tenant without limits has no row here and pays nothing. One with limits is admitted
by one statement on its own row (`admission`), counted again every second as far as it
is near a limit (`folding`), and changed by operators alone (`limits`). Knows no HTTP.
"""
