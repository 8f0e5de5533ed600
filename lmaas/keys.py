"""API keys, seen from outside."""

from collections.abc import Sequence
from typing import Any

from lmaas.answers import Key
from lmaas.reading import read_key, read_list
from lmaas.transport import Transport


class Keys:
    """The keys of the tenant that the client's own key belongs to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, name: str, *, scopes: Sequence[str] | None = None, expires_at: str | None = None
    ) -> Key:
        """A new key; its secret is in `key` this one time. `expires_at` is RFC 3339."""
        body: dict[str, Any] = {"name": name}
        if scopes:
            body["scopes"] = list(scopes)
        if expires_at:
            body["expires_at"] = expires_at
        # Sent twice it would make two keys, so a lost answer is an error.
        return read_key(self._transport.request("POST", "/v1/keys", body=body, repeatable=False))

    def ls(self) -> list[Key]:
        """All keys, without their secrets."""
        return read_list(self._transport.request("GET", "/v1/keys"), read_key)

    def revoke(self, key_id: str) -> Key:
        """Ends a key at once; the revoked key."""
        return read_key(self._transport.request("DELETE", f"/v1/keys/{key_id}"))
