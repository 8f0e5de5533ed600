"""A chat with OpenAI's own client: whole, then word by word.

Needs a server (`make up`), its address and key in the environment, and
`pip install openai`. Then: .venv/bin/python examples/chat.py
"""

import os

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

messages: list[ChatCompletionMessageParam] = [
    {"role": "developer", "content": "You answer in one short sentence."},
    {"role": "user", "content": "What is a lighthouse for?"},
]

with OpenAI(
    base_url=os.environ["LMAAS_URL"].rstrip("/") + "/v1", api_key=os.environ["LMAAS_API_KEY"]
) as client:
    whole = client.chat.completions.create(
        model="smollm2", messages=messages, max_tokens=60, temperature=0
    )
    print(whole.choices[0].message.content)
    print(f"({whole.usage.completion_tokens if whole.usage else 0} tokens, job {whole.id})")

    stream = client.chat.completions.create(
        model="smollm2", messages=messages, max_tokens=60, temperature=0, stream=True
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()
