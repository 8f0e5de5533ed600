"""One request, to a checked address only: real sockets, a resolver of the test's own."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dispatcher.safe_connection import DeliveryFailed, Door, Resolve, addresses, post
from jobs.webhooks.urls import Rules, Target
from tests.receiver import Receiver, Reply, receiving

NAME = "hooks.test"
LOOPBACK = Rules(http=True, private=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def door(
    *found: str, rules: Rules = LOOPBACK, timeout_s: float = 5, resolve: Resolve | None = None,
    context: ssl.SSLContext | None = None,
) -> Door:  # fmt: skip
    """Names lead to `found`."""
    names = resolve or (lambda *_: found or ("127.0.0.1",))
    return Door(rules, context or ssl.create_default_context(), timeout_s, names)


def target(receiver: Receiver, scheme: str = "http", host: str = NAME) -> Target:
    return Target(scheme, host, receiver.port, "/hook?x=1")


def send(way: Door, to: Target) -> int:
    return post(way, to, {"X-Test": "yes"}, b"{}")


def failure(way: Door, to: Target) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        send(way, to)
    assert "127.0.0.1" not in caught.value.reason
    return caught.value


def test_a_request_carries_the_name_that_was_given(receiver: Receiver) -> None:
    assert send(door(), target(receiver)) == 204
    [got] = receiver.received
    assert (got.path, got.body, got.headers["x-test"]) == ("/hook?x=1", b"{}", "yes")
    assert got.headers["host"] == f"{NAME}:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_a_redirect_is_a_failure_that_names_the_rule(receiver: Receiver, status: int) -> None:
    with receiving() as elsewhere:
        receiver.decide = lambda _: Reply(status, {"Location": elsewhere.url("/stolen")})
        failed = failure(door(), target(receiver))
        assert (failed.code, failed.http_status) == ("redirect_refused", status)
        assert "redirects are not followed" in failed.reason
        assert len(receiver.received) == 1
        assert elsewhere.received == []


@pytest.mark.parametrize(
    "found",
    [
        ("10.0.0.1",),
        ("127.0.0.1", "10.0.0.1"),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("fe80::1%1",),
        ("nowhere",),
    ],
)
def test_a_name_with_any_address_that_is_not_allowed_is_refused(
    receiver: Receiver, found: tuple[str, ...]
) -> None:
    assert failure(door(*found), target(receiver)).code == "address_refused"
    assert failure(door(rules=Rules()), target(receiver)).code == "address_refused"
    assert receiver.received == []


def test_a_name_that_changes_after_the_check_leads_nowhere_else(receiver: Receiver) -> None:
    """The resolver says something else every time it is asked, and is asked once."""
    answers = iter([("127.0.0.1",), ("127.0.0.2",)])
    way = door(resolve=lambda *_: next(answers))
    with receiving_at("127.0.0.2", receiver.port) as inside:
        assert send(way, target(receiver)) == 204
        assert next(answers) == ("127.0.0.2",)
        assert inside.pending() == 0
    assert len(receiver.received) == 1


class receiving_at:  # noqa: N801 - reads as a function
    """Listens at another address of the same port and takes nothing."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_server((address, port))

    def pending(self) -> int:
        """1 if somebody connected."""
        self._socket.settimeout(0.05)
        try:
            self._socket.accept()[0].close()
        except TimeoutError:
            return 0
        return 1

    def __enter__(self) -> "receiving_at":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_the_second_address_is_tried_if_nobody_listens_at_the_first(receiver: Receiver) -> None:
    assert send(door("127.0.0.9", "127.0.0.1"), target(receiver)) == 204


def test_a_name_without_an_address_is_told_as_that(receiver: Receiver) -> None:
    def nothing(*_: object) -> list[str]:
        raise socket.gaierror(-2, "who?")

    assert failure(door(resolve=nothing), target(receiver)).code == "name_unknown"
    assert failure(door(resolve=lambda *_: ()), target(receiver)).code == "name_unknown"
    assert addresses("127.0.0.1", 80) == ["127.0.0.1"]


def test_nobody_there_is_told_without_details() -> None:
    with receiving() as gone:
        port = gone.port
    failed = failure(door(), Target("http", NAME, port, "/"))
    assert (failed.code, failed.http_status) == ("connection_failed", None)


def slowly(_: object) -> Reply:
    time.sleep(1.5)
    return Reply()


def test_a_slow_receiver_costs_the_whole_time_and_no_more(receiver: Receiver) -> None:
    receiver.decide = slowly
    began = time.monotonic()
    assert failure(door(timeout_s=0.3), target(receiver)).code == "timeout"
    assert time.monotonic() - began < 1.2


def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    """Each byte comes in time, all of them do not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        way, port = door(timeout_s=0.5), server.getsockname()[1]
        began = time.monotonic()

        def drip() -> None:
            wire, _ = server.accept()
            with wire:
                try:
                    while time.monotonic() - began < 5:
                        wire.sendall(b"H")
                        time.sleep(0.1)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        assert failure(way, Target("http", NAME, port, "/")).code in ("timeout", "bad_answer")
        assert time.monotonic() - began < 2
        thread.join(timeout=5)


def test_a_body_without_end_is_read_for_a_bound_and_does_not_undo_the_delivery(
    receiver: Receiver,
) -> None:
    receiver.decide = lambda _: Reply(200, body=b"x" * 1_000_000)
    assert send(door(), target(receiver)) == 200
    receiver.decide = lambda _: Reply(200, body=b"x" * 50, drip_s=0.1)
    began = time.monotonic()
    assert send(door(timeout_s=0.5), target(receiver)) == 200
    assert time.monotonic() - began < 2


def test_what_is_no_http_is_told_as_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(65_536)
                wire.sendall(b"SSH-2.0-secret banner\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        failed = failure(door(), Target("http", NAME, server.getsockname()[1], "/"))
        thread.join(timeout=5)
    assert failed.code == "bad_answer"
    assert "banner" not in failed.reason


@pytest.mark.parametrize(
    ("said", "pause_s"),
    [("7", 7), ("0", 0), ("999999999", 6 * 3600), ("soon", None), ("-5", None), ("", None)],
)
def test_retry_after_is_heard_within_bounds(
    receiver: Receiver, said: str, pause_s: float | None
) -> None:
    receiver.decide = lambda _: Reply(503, {"Retry-After": said})
    failed = failure(door(), target(receiver))
    assert (failed.code, failed.http_status) == ("http_status", 503)
    assert failed.retry_after_s == pause_s


def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    receiver.decide = lambda _: Reply(429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    assert failure(door(), target(receiver)).retry_after_s == 0


def test_gone_is_told_as_that(receiver: Receiver) -> None:
    receiver.decide = lambda _: Reply(410)
    assert failure(door(), target(receiver)).code == "gone"


def test_no_proxy_of_the_environment_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert send(door(), target(receiver)) == 204
        assert proxy.received == []
    assert len(receiver.received) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For NAME alone, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_over_tls_the_name_is_asked_for_and_its_certificate_checked(certificate: Path) -> None:
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.sni_callback = lambda _wire, name, _context: asked.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with receiving(context=server) as receiver:
        assert send(door(context=trusting), target(receiver, "https")) == 204
        assert asked == [NAME]
        assert receiver.received[0].headers["host"] == f"{NAME}:{receiver.port}"
        other = target(receiver, "https", "other.test")
        assert failure(door(context=trusting), other).code == "tls_failed"
        assert failure(door(), target(receiver, "https")).code == "tls_failed"
        assert len(receiver.received) == 1
