"""A receiver of webhooks: verifies each event, and acts on each once.

    lmaas webhooks add https://hooks.example.com/lmaas     # prints the secret
    WEBHOOK_SECRET=whsec_... python examples/webhook_receiver.py --port 8443

Events come at least once and in any order; `webhook-id` says which have been seen.
Put TLS in front of it: LMaaS sends to https alone.
"""

import argparse
import os
import sqlite3
from contextlib import closing

from flask import Flask, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def create_app(secret: str, seen_file: str) -> Flask:
    app = Flask("webhook_receiver")
    app.config["MAX_CONTENT_LENGTH"] = 65_536
    webhook = Webhook(secret)
    with closing(sqlite3.connect(seen_file)) as seen, seen:
        seen.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")

    @app.post("/lmaas")
    def receive() -> tuple[str, int]:
        try:
            event = webhook.verify(request.get_data(), dict(request.headers))
        except WebhookVerificationError:
            return "", 401
        # Seen and acted upon in one transaction: a repetition finds the id and does nothing.
        with closing(sqlite3.connect(seen_file)) as seen, seen:
            added = seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event["id"]])
            if added.rowcount:
                act(event["type"], event["data"]["id"])
        return "", 204

    return app


def act(kind: str, subject: str) -> None:
    """What you would do: read the result by its id, with your own API key."""
    print(f"{kind} {subject}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seen", default="webhooks_seen.sqlite3")
    arguments = parser.parse_args()
    app = create_app(os.environ["WEBHOOK_SECRET"], arguments.seen)
    app.run(port=arguments.port)
