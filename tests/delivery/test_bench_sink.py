"""The bench's own sink, where postfix's is missing: it takes every mail, in whatever pieces it comes."""

import asyncio
import smtplib
from collections.abc import Iterator

import pytest

from bench import sinks


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(sinks, "program", lambda _: None)
    assert sinks.which().startswith("a sink of ours")
    with sinks.sink() as port:
        yield port


def test_it_takes_mails_with_lines_that_are_a_dot(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for text in ("one", "two\r\n.\r\nstill two\r\n", ""):
            assert client.sendmail("a@sender.example", ["b@readers.example"], text) == {}
        assert client.has_extn("pipelining")
        assert client.docmd("VRFY b")[0] == 502


class Wire(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.closed = b"", False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.heard += data

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("piece", [1, 3, 7, 10_000])
def test_a_reply_for_each_whatever_the_pieces(piece: int) -> None:
    mail = b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@readers.example>\r\nDATA\r\n"
    said = b"EHLO us\r\n" + mail + b"a\r\nb\r\n.\r\n" + mail + b".\r\n" + b"QUIT\r\n"
    wire, sink = Wire(), sinks.Taking()
    sink.connection_made(wire)
    for at in range(0, len(said), piece):
        sink.data_received(said[at:at + piece])
    codes = [line[:3].decode() for line in wire.heard.splitlines() if line[3:4] == b" "]
    assert codes == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert wire.closed
