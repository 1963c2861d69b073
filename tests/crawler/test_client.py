"""The client by itself: TLS, kept connections, answers in pieces, and how errors read."""

import asyncio
import datetime as dt
import ssl

import pytest

from crawler.client import Client
from milepost.errors import FetchError, RefusedError
from milepost.settings import FetchSettings

PAGE = b"<html>hello</html>"


async def to_loopback(_host, _port):
    return ["127.0.0.1"]


def client(**given):
    allowed = given.pop("allow_hosts", {"127.0.0.1", "timeline.example"})
    limits = FetchSettings(concurrency=2, timeout=given.pop("timeout", 30.0))
    return Client(limits=limits, allow_hosts=allowed, resolver=to_loopback, **given)


def get(url, *, times=1, **given):
    async def run():
        async with client(**given) as asking:
            return [await asking.get(url) for _ in range(times)]

    return asyncio.run(run())


class Server:
    """An asyncio server that answers each request with `answer`, in the pieces given."""

    def __init__(self, *pieces, context=None, hang_up=False):
        self.pieces, self.context, self.hang_up = pieces, context, hang_up
        self.connections = 0
        self.requests = []

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(request)
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def asked(self, url, *, times=1, **given):
        """Serve, and ask `url` (with {port} in it) so many times."""

        async def run():
            server = await asyncio.start_server(self.handle, "127.0.0.1", 0, ssl=self.context)
            async with server:
                port = server.sockets[0].getsockname()[1]
                async with client(**given) as asking:
                    answers = [await asking.get(url.format(port=port)) for _ in range(times)]
            return answers

        return asyncio.run(run())


class Plain(Server):
    """One that answers before it is asked, and hangs up."""

    async def handle(self, _reader, writer):
        writer.write(b"".join(self.pieces))
        writer.close()


def whole(body=PAGE):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/html\r\n\r\n" % len(body), body


def test_a_connection_is_kept_and_used_again():
    server = Server(*whole())
    answers = server.asked("http://127.0.0.1:{port}/x", times=5)
    assert [answer.body for answer in answers] == [PAGE] * 5
    assert server.connections == 1


def test_a_connection_that_the_server_closed_is_not_used_again():
    server = Server(*whole(), hang_up=True)
    assert len(server.asked("http://127.0.0.1:{port}/x", times=3)) == 3
    assert server.connections == 3


def test_a_body_to_the_end_of_the_connection():
    server = Server(b"HTTP/1.1 200 OK\r\n\r\n", PAGE, hang_up=True)
    assert server.asked("http://127.0.0.1:{port}/x")[0].body == PAGE


def test_a_large_body_comes_through_the_buffer():
    body = bytes(range(256)) * 16384
    assert Server(*whole(body)).asked("http://127.0.0.1:{port}/x")[0].body == body


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """A server's context with its own certificate for timeline.example, and a client's that trusts it."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "timeline.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("timeline.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ) + certificate.public_bytes(serialization.Encoding.PEM)
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cafile=str(file))


class TestTls:
    def test_the_name_in_the_url_is_what_tls_goes_by(self, contexts):
        serving, trusting = contexts
        seen = []
        serving.sni_callback = lambda _socket, name, _context: seen.append(name)
        server = Server(*whole(), context=serving)
        answers = server.asked("https://timeline.example:{port}/x", times=2, tls=trusting)
        assert [answer.body for answer in answers] == [PAGE, PAGE]
        assert seen == ["timeline.example"]
        assert b"\r\nHost: timeline.example:" in server.requests[0]

    def test_a_certificate_for_another_name_is_refused(self, contexts):
        serving, trusting = contexts
        with pytest.raises(FetchError, match="certificate verify failed") as caught:
            Server(*whole(), context=serving).asked("https://127.0.0.1:{port}/x", tls=trusting)
        assert not caught.value.retryable

    def test_an_unknown_certificate_is_refused(self, contexts):
        with pytest.raises(FetchError, match="certificate verify failed"):
            Server(*whole(), context=contexts[0]).asked("https://timeline.example:{port}/x")

    def test_no_tls_at_all(self, contexts):
        with pytest.raises(FetchError, match="could not be reached"):
            Plain(b"HTTP/1.1 400 Bad\r\n\r\n").asked("https://timeline.example:{port}/x", tls=contexts[1])

    def test_no_handshake_at_all(self, contexts):
        with pytest.raises(FetchError, match=r"not done within 0\.3 s"):
            Server().asked("https://timeline.example:{port}/x", tls=contexts[1], timeout=0.3)


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("http://127.0.0.1:1/x", FetchError, "http://127.0.0.1:1/x: could not be reached: .*(refused|failed)"),
        ("http://elsewhere.example/x", RefusedError, "elsewhere.example: refused: 127.0.0.1 is not a public address"),
        ("http://169.254.169.254/latest", RefusedError, "169.254.169.254 is not a public address"),
        ("ftp://127.0.0.1/x", RefusedError, "it is not http"),
    ],
    ids=["closed-port", "private", "metadata", "scheme"],
)
def test_errors_say_what_and_where(url, error, says):
    with pytest.raises(error, match=says):
        get(url)
