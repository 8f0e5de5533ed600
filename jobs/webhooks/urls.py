"""Where a webhook may lead: what a URL tells without DNS, and which addresses are public.

`check` holds at submit and again at every attempt; `is_allowed` judges each address
that a name has at the moment of an attempt.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jobs.settings import Settings
from jobs.webhooks.errors import WebhookUrlRefused
from jobs.webhooks.events import LONGEST_URL, JobWebhook

Address = IPv4Address | IPv6Address

_DEFAULT_PORT = {"https": 443, "http": 80}
_LEAST_PORT = 1024
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|\d+)")
_LONGEST_NAME = 253

# `is_global` is right for most of IPv4; these it calls global, and are not for us.
_NOT_PUBLIC_V4 = (IPv4Network("224.0.0.0/4"), IPv4Network("192.88.99.0/24"))
# Of IPv6 only global unicast, without what holds an IPv4 address or documents
# something. IPv4-mapped, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), link-local,
# unique local and multicast addresses lie outside of 2000::/3.
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),  # protocols' own, Teredo among them
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an installation allows beyond https to public addresses: plain http, and
    networks of its own. Both are off by default."""

    http: bool = False
    private: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Those of the settings."""
        return cls(settings.webhook_http, settings.webhook_networks)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was checked, in its parts; `path` is what stands in the request line."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What stands in the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"


def check(url: str, rules: Rules) -> Target:
    """The parts of a URL that may be called, as far as that shows without DNS.

    Raises `WebhookUrlRefused` that names the rule.
    """
    if len(url) > LONGEST_URL or not all("!" <= character <= "~" for character in url):
        raise _refused(f"takes up to {LONGEST_URL:,} ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("is not a URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and rules.http):
        raise _refused("must begin with https://")
    if "@" in parts.netloc or "\\" in url or "#" in url:
        raise _refused("may hold no user name, no backslash and no fragment")
    return Target(
        parts.scheme,
        _host(parts.hostname or "", rules),
        _port(parts.scheme, port),
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _host(host: str, rules: Rules) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        named = len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))
        if not named or _NUMBER.fullmatch(labels[-1]):
            raise _refused("has no host that is a name in ASCII or a plain IP address") from None
        return host
    if not is_allowed(address, rules):
        raise _refused("leads to an address that is not public")
    return host


def _port(scheme: str, port: int | None) -> int:
    default = _DEFAULT_PORT[scheme]
    if port is None or port == default:
        return default
    if port < _LEAST_PORT:
        raise _refused(f"may name the port {default} or one from {_LEAST_PORT} on")
    return port


def _refused(rule: str) -> WebhookUrlRefused:
    return WebhookUrlRefused(f"the URL of a webhook {rule}", param="url")


def is_allowed(address: Address, rules: Rules) -> bool:
    """Whether a webhook may be sent to an address: it is public, or in a network
    that the installation allows."""
    if any(address in network for network in rules.private):
        return True
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in _PUBLIC_V6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


def of_job(tenant_id: UUID, asked: JobWebhook, rules: Rules) -> dict[str, Any]:
    """What is kept of a single job's webhook. Raises `WebhookUrlRefused`."""
    try:
        target = check(asked.url, rules)
    except WebhookUrlRefused as refused:
        refused.param = "webhook.url"
        raise
    receiver = f"{tenant_id} {target.scheme} {target.host} {target.port}"
    lane = UUID(bytes=hashlib.sha256(receiver.encode()).digest()[:16])
    events = [event.value for event in asked.events]
    return {"url": asked.url, "events": events, "lane": str(lane)}
