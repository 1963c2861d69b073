"""A server on loopback of one or a few files whose answers a test sets."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What a path is answered with."""

    body: bytes = b""
    content_type: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class FileServer:
    """Answers by path and query; everything else is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []  # "path" or "path 304"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer = outer.answers.get(self.path, Answer(status=404))
                etag = answer.headers.get("ETag")
                same = etag is not None and self.headers.get("If-None-Match") == etag
                outer.asked.append(f"{self.path} 304" if same else self.path)
                body = b"" if same else answer.body
                self.send_response(304 if same else answer.status)
                if answer.content_type and not same:
                    self.send_header("Content-Type", answer.content_type)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def put(self, path: str, body: str | bytes, content_type: str = "", **headers: str) -> None:
        """Serve it from now on."""
        data = body.encode() if isinstance(body, str) else body
        self.answers[path] = Answer(data, content_type, headers={name.replace("_", "-"): value
                                                                for name, value in headers.items()})


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server that runs meanwhile."""
    server = FileServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()
