"""A client that never finishes what it began keeps nobody out: real sockets, deadlines a hundred times as short."""

import asyncio
import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from web.connections import ANSWER_S, LONGEST_HEAD, Connection, Crowd, connections
from web.serve import listen

HEAD = b"POST /subscribe HTTP/1.1\r\nHost: timeline.example\r\n"
PATIENCE_S = 30.0  # before a test gives up


@contextlib.contextmanager
def serving(app: Any, *, most: int = 100, hurry: float = 100.0) -> Iterator[tuple[int, Crowd]]:
    """A server in a thread; its port, and its connections."""
    crowd = Crowd(most)
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1,
            http=partial(Connection, crowd=crowd, hurry=hurry),  # type: ignore[arg-type]
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()[1], crowd
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def until(so: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not so():
        assert time.monotonic() < end
        time.sleep(0.005)


def knock(port: int, said: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    client.sendall(said)
    return client


def heard(client: socket.socket) -> bytes:
    """What the server said until it closed."""
    found = b""
    with client, contextlib.suppress(ConnectionError):
        while chunk := client.recv(65536):
            found += chunk
    return found


def test_150_who_never_finish_keep_nobody_from_reading_or_leaving(
    make_app: Any, settings: Any, issues: Any, issue: Any, token: Any, subscribers: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    issues.by_number[3] = issue(3)
    with serving(make_app(settings), most=100, hurry=1) as (port, crowd), contextlib.ExitStack() as slow:
        for _ in range(150):
            slow.enter_context(knock(port, HEAD))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S) as client:
            assert client.get("/issues/3").status_code == 200
            assert client.post(f"/u/{token()}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
            assert (len(crowd.all), crowd.turned_away) == (100, 51)
        assert subscribers.states[7] == "unsubscribed"
    assert {record.name for record in caplog.records} == {"web.connections"}


@pytest.mark.parametrize(
    ("said", "answered", "awaited"),
    [
        (b"", b"", ""),  # a browser that connected in advance: nothing to tell it, nothing to tell us
        (HEAD, b"408 Request Timeout", "head of a request"),
        (HEAD + b"Content-Length: 100\r\n\r\nemail=", b"", "body of a request"),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD, b"408 Request Timeout", "head of a request"),
        (b"POST /u/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nList", b"404 Not Found", "body of a request"),
    ],
    ids=["silent", "half a head", "half a body", "half of a second head", "half a body after its answer"],
)
def test_what_never_comes_is_not_awaited_for_ever(
    said: bytes, answered: bytes, awaited: str, make_app: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(make_app(settings)) as (port, crowd):
        assert answered in heard(knock(port, said))
        until(lambda: not crowd.all and not crowd.owing)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == bool(awaited)
    assert all(awaited in line for line in told)


@pytest.mark.parametrize("said", [HEAD, HEAD + b"Content-Length: 99999\r\n\r\n"], ids=["a head", "a body"])
def test_a_drip_is_no_reason_to_wait_longer(said: bytes, make_app: Any, settings: Any) -> None:
    with serving(make_app(settings)) as (port, crowd):
        client = knock(port, said)
        client.settimeout(0.01)
        dripped = 0
        with contextlib.suppress(ConnectionError):
            while dripped < PATIENCE_S * 100:
                client.sendall(b"x")
                dripped += 1
                with contextlib.suppress(TimeoutError):
                    if not client.recv(4096):
                        break
        client.close()
        until(lambda: not crowd.all)
    assert 0 < dripped < PATIENCE_S * 100


def test_an_answer_that_nobody_reads_is_not_kept_for_ever() -> None:
    with serving(PlainTextResponse("x" * 20_000_000), hurry=30_000) as (port, crowd):
        client = knock(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: crowd.all)
        until(lambda: not crowd.all)
        assert len(heard(client)) < 20_000_000


async def growing(scope: Any, receive: Any, send: Any) -> None:
    """An answer that says a word now and then for thrice as long as one may take; or nothing more, for ever."""
    assert scope["type"] == "http"
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(30):
        said = b"x" * 20_000_000 if scope["path"] == "/much" else b"on "
        await send({"type": "http.response.body", "body": said, "more_body": True})
        await asyncio.sleep(0 if scope["path"] == "/silent" else ANSWER_S / 100 / 10)
    if scope["path"] == "/silent":
        await asyncio.Event().wait()
    await send({"type": "http.response.body", "body": b"the end"})


def test_an_answer_that_is_read_as_it_grows_may_take_longer() -> None:
    with serving(growing) as (port, crowd):
        assert b"the end" in heard(knock(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        until(lambda: not crowd.all)


def test_one_that_has_begun_and_says_nothing_more_is_not_kept_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    with serving(growing, hurry=3000) as (port, crowd):
        assert b"the end" not in heard(knock(port, b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n"))
        until(lambda: not crowd.all)
    [seconds] = re.findall(r"the answer to a request took longer than (\d+) s", caplog.text)
    assert int(seconds) >= 3600


def test_one_that_grows_and_nobody_reads_is_kept_no_longer_than_any(caplog: pytest.LogCaptureFixture) -> None:
    with serving(growing, hurry=600) as (port, crowd):
        client = knock(port, b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: crowd.all)
        until(lambda: not crowd.all)
        client.close()
    assert "the answer to a request took longer than 60 s" in caplog.text


def test_one_too_many_takes_the_place_of_whoever_kept_us_waiting_longest() -> None:
    go, begun = threading.Event(), threading.Event()

    def work(*_: Any) -> Any:
        begun.set()
        assert go.wait(PATIENCE_S)
        return PlainTextResponse("done")

    with serving(Starlette(routes=[Route("/", work)]), most=3, hurry=1) as (port, crowd):
        working = knock(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert begun.wait(PATIENCE_S)
        first, second = knock(port, HEAD), knock(port, HEAD)
        until(lambda: len(crowd.owing) == 2)
        third = knock(port, HEAD)
        assert heard(first) == b""
        go.set()
        assert heard(working).endswith(b"done")
        assert crowd.turned_away == 1
        for client in (second, third):
            client.close()


def test_nonsense_is_refused_before_and_after_an_answer_and_is_no_bug(
    make_app: Any, settings: Any, token: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chunked = b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    with serving(make_app(settings), hurry=1) as (port, crowd):
        assert b" 400 " in heard(knock(port, b"POST /subscribe HTTP/1.1\r\n" + chunked))
        assert b" 400 " in heard(knock(port, b"\x16\x03\x01\x02\x00\x01"))
        leaving = knock(port, f"POST /u/{token()} HTTP/1.1\r\n".encode() + chunked.removesuffix(b"ZZ\r\n"))
        assert b" 200 " in leaving.recv(65536)
        leaving.sendall(b"ZZ\r\n")
        heard(leaving)
        cut = knock(port, HEAD + b"Content-Length: 100\r\n\r\nemail=")
        cut.close()
        until(lambda: not crowd.all)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (GET + b"X: " + b"y" * LONGEST_HEAD, b"431"),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),  # RFC 9112 §6.1
        (GET + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (GET + b" folded: once\r\n\r\n", b"400"),
        (GET + b"Na me: x\r\n\r\n", b"400"),
        (GET.replace(b"\r\n", b"\n") + b"\n", b"400"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
    ],
    ids=["a head without end", "two lengths", "lengths that differ", "a folded line", "a name of two words",
         "bare line feeds", "CONNECT", "bytes beyond ASCII"],
)
def test_a_head_that_can_mean_two_things_is_refused(said: bytes, answered: bytes) -> None:
    with serving(PlainTextResponse("done"), hurry=1) as (port, _):
        assert heard(knock(port, said)).startswith(b"HTTP/1.1 " + answered)


def test_what_follows_a_body_or_asks_for_another_protocol_changes_nothing() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["more_body"]:
            body += message["body"]
        names = b",".join(name for name, _ in scope["headers"])
        await PlainTextResponse(body + message["body"] + b" of " + names)(scope, receive, send)

    chunked = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-For: b\r\n\r\n"
    with serving(echo, hurry=1) as (port, _):
        told = heard(knock(port, GET.replace(b"GET", b"POST") + chunked))
        assert told.endswith(b"abc of host,connection,transfer-encoding")
        with knock(port, GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n") as asked:
            answer = asked.makefile("rb")
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(len(b" of host,connection,upgrade")) == b" of host,connection,upgrade"
            asked.sendall(GET + b"Connection: close\r\n\r\n")  # and the connection is of use still
            assert answer.read().endswith(b" of host,connection")


def test_questions_that_do_not_wait_for_answers_are_answered_in_order_if_they_are_few() -> None:
    go, asked = threading.Event(), GET + b"\r\n"

    def work(*_: Any) -> Any:
        assert go.wait(PATIENCE_S)
        return PlainTextResponse("done")

    with serving(Starlette(routes=[Route("/", work)]), hurry=1) as (port, _):
        many = knock(port, asked * 1000)
        assert heard(many).count(b"done") == 0
        few = knock(port, asked * 3 + GET + b"Connection: close\r\n\r\n")
        go.set()
        assert heard(few).count(b"done") == 4


def test_a_kept_connection_answers_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, knock(listener.getsockname()[1]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_process_has_a_crowd_of_its_own() -> None:
    made = connections(7)
    assert isinstance(made, partial)
    assert made.keywords["crowd"].most == 7
