"""Run a file of lines through a model: a bounded window in flight, JSON lines out.

One line that fails stops no other. Needs a server: `make up`. Then:
.venv/bin/python examples/pipeline.py < lines.txt > answers.jsonl
"""

import json
import sys

from lmaas import Client

INSTRUCTION = "Summarize in five words: "

with Client() as client:
    lines = (INSTRUCTION + line.strip() for line in sys.stdin if line.strip())
    for answer in client.map(lines, task="chat", model="smollm2", in_flight=32, max_tokens=24):
        record = {"index": answer.index, "input": answer.input}
        if answer.result is not None:
            record["text"] = answer.result.text
        else:
            record["error"] = str(answer.error)
        print(json.dumps(record), flush=True)
