"""Submit one chat, do something else, collect the answer.

Needs a server: `make up`. Then: .venv/bin/python examples/ask.py
"""

from lmaas import Client

with Client() as client:
    job = client.submit(
        model="smollm2",
        messages=[
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": "What is a lighthouse for?"},
        ],
        max_tokens=60,
        metadata={"example": "ask"},
    )
    print(f"accepted as {job.id}; it is durable now, whatever happens to this program")
    result = client.result(job, timeout_s=120)
    print(result.text)
    print(f"({result.usage.completion_tokens} tokens, ended by {result.finish_reason})")
