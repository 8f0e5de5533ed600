"""Where webhooks may lead: refused by rule before any name is looked up."""

import ipaddress
from uuid import uuid4

import pytest

from jobs.webhooks.errors import WebhookUrlRefused
from jobs.webhooks.events import JobWebhook
from jobs.webhooks.urls import Rules, Target, check, is_allowed, of_job

NOT_PUBLIC = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.9.9
192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.7 224.0.0.1
239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::7f00:1 100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1
3fff::1 5f00::1 fc00::1 fd12::1 fe80::1 fe80::1%1 fec0::1 ff02::1 ff0e::1
""".split()  # noqa: SIM905 - a list of a hundred quotes is harder to read
OWN = Rules(http=True, private=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("https://EXAMPLE.com:443/a?b=c", Target("https", "example.com", 443, "/a?b=c")),
        ("https://hooks.example.com:8443/x", Target("https", "hooks.example.com", 8443, "/x")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, "/")),
        ("https://example.com./", Target("https", "example.com.", 443, "/")),
    ],
)
def test_a_public_https_url_is_taken_apart(url: str, target: Target) -> None:
    assert check(url, Rules()) == target


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://example.com/", "https://"),
        ("ftp://example.com/", "https://"),
        ("//example.com/", "https://"),
        ("example.com", "https://"),
        ("https://me:pw@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://example.com\\@127.0.0.1/", "user name"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com:22/", "port"),
        ("https://example.com:80/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https:///path", "no host"),
        ("https://exa mple.com/", "ASCII"),
        ("https://example.com/\r\nX: y", "ASCII"),
        ("https://example.com/\tx", "ASCII"),
        ("https://exämple.com/", "ASCII"),
        ("https://" + "a" * 64 + ".com/", "no host"),
        ("https://-a.example/", "no host"),
        ("https://2130706433/", "no host"),
        ("https://0x7f.0.0.1/", "no host"),
        ("https://0x7f000001/", "no host"),
        ("https://127.1/", "no host"),
        ("https://127.0.0.1./", "no host"),
        ("https://127.0.0.1/", "not public"),
        ("https://10.0.0.1/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://[::ffff:8.8.8.8]/", "not public"),
        ("https://[fe80::1%25eth0]/", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://example.com/" + "a" * 2048, "2,048"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_that_rule(url: str, rule: str) -> None:
    with pytest.raises(WebhookUrlRefused) as caught:
        check(url, Rules())
    assert rule in caught.value.message
    assert caught.value.param == "url"


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), Rules())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "2003::1"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), Rules())


def test_an_installation_may_allow_http_and_networks_of_its_own() -> None:
    assert check("http://127.0.0.1:8000/x", OWN) == Target("http", "127.0.0.1", 8000, "/x")
    assert check("http://example.com/", OWN).port == 80
    assert not is_allowed(ipaddress.ip_address("10.0.0.1"), OWN)
    with pytest.raises(WebhookUrlRefused):
        check("http://10.0.0.1/", OWN)


def test_the_authority_names_a_port_that_is_not_the_schemes_own() -> None:
    assert check("https://example.com:443/", OWN).authority == "example.com"
    assert check("http://example.com:8080/", OWN).authority == "example.com:8080"
    assert check("https://[2606:4700::1111]:8443/", OWN).authority == "[2606:4700::1111]:8443"


def test_urls_of_one_tenant_and_receiver_share_a_lane_and_no_others_do() -> None:
    me, you = uuid4(), uuid4()
    asked = [JobWebhook(url=f"https://example.com{rest}") for rest in ("/a", "/b", ":8443/a")]
    lanes = [of_job(me, one, Rules())["lane"] for one in asked]
    assert lanes[0] == lanes[1] != lanes[2]
    assert of_job(you, asked[0], Rules())["lane"] != lanes[0]
    with pytest.raises(WebhookUrlRefused) as caught:
        of_job(me, JobWebhook(url="http://example.com/"), Rules())
    assert caught.value.param == "webhook.url"
