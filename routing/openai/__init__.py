"""The bodies that OpenAI's clients send and read; the routes are in `api/openai/`."""
