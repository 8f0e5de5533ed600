"""Answers to what never became a request of the application."""

import json
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from api.request_ids import HEADER, new_name
from routing.problems import Problem


def send(client: Any, status: HTTPStatus, message: str) -> None:
    """Says so, as the application says what is wrong; whoever does not take it at once
    has left. The connection is to be closed after it."""
    body = json.dumps(Problem(status, message, status.phrase.lower().replace(" ", "_")).body)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{HEADER}: {new_name()}\r\n\r\n"
    )
    with suppress(OSError):
        client.send((head + body).encode(), socket.MSG_DONTWAIT)
