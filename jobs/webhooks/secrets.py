"""The secrets that sign webhooks: made here, shown once, kept sealed if a key is set.

They must be readable to sign with, so no hash will do. With `LMAAS_WEBHOOK_KEYS`
a copy of the database does not tell them; without it they stand in the table as
they are (docs/webhooks.md).
"""

import base64
import secrets as randomness
from typing import TYPE_CHECKING

from pydantic import SecretStr

from jobs.webhooks.errors import WebhookSecretSealed

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

PREFIX = "whsec_"
_SEALED = "fernet:"


def make() -> str:
    """A fresh secret of 256 bits, written as Standard Webhooks wants it."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


class Safe:
    """Seals secrets on their way to the table, and opens them again. The first of
    the keys seals; all of them open."""

    def __init__(self, keys: SecretStr | None) -> None:
        self._keys = keys.get_secret_value().split(",") if keys is not None else []
        self._fernet: MultiFernet | None = None

    def seal(self, secret: str) -> str:
        """What is stored of a secret."""
        if not self._keys:
            return secret
        return _SEALED + self._opened().encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """The secret itself. Raises `WebhookSecretSealed` if no key fits."""
        if not stored.startswith(_SEALED):
            return stored
        from cryptography.fernet import InvalidToken

        try:
            return self._opened().decrypt(stored.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise WebhookSecretSealed(
                "a webhook's secret was sealed with a key that LMAAS_WEBHOOK_KEYS does not hold; "
                "add the key, or rotate the secret"
            ) from None

    def _opened(self) -> "MultiFernet":
        # Loaded by those alone who use it: most processes of a host never do.
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        if not self._keys:
            raise InvalidToken
        if self._fernet is None:
            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet
