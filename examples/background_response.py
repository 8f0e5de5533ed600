"""A response in the background: watched for a while, dropped, taken up again.

The work goes on without a reader; a stream that breaks is read on from the
number of the last event. Needs a server (`make up`), its address and key in the
environment, and `pip install openai`. Then:
.venv/bin/python examples/background_response.py
"""

import os

from openai import OpenAI

with OpenAI(
    base_url=os.environ["LMAAS_URL"].rstrip("/") + "/v1", api_key=os.environ["LMAAS_API_KEY"]
) as client:
    stream = client.responses.create(
        model="smollm2",
        instructions="You answer in two sentences.",
        input="Why do ships need lighthouses?",
        max_output_tokens=80,
        background=True,
        stream=True,
    )
    id, last, text = "", 0, ""
    for event in stream:
        last = event.sequence_number
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_text.delta":
            text += event.delta
            break
    stream.close()
    print(f"{id} runs on without a reader; so far: {text!r}")

    for event in client.responses.retrieve(id, stream=True, starting_after=last):
        if event.type == "response.output_text.delta":
            text += event.delta

    done = client.responses.retrieve(id)
    assert text == done.output_text
    print(done.output_text)
    print(f"({done.status}, {done.usage.output_tokens if done.usage else 0} tokens)")
