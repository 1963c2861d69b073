"""The sample site on loopback: ETag, 304 and gzip; it can publish, correct itself and be deployed anew."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from console.demo.site import pages

_KINDS = {".json": "application/json", ".svg": "image/svg+xml", ".xml": "application/xml",
          ".txt": "text/plain; charset=utf-8"}
_NOT_FOUND = b"<!doctype html><html lang=en><title>Not found</title><h1>Nothing is kept at this address</h1></html>\n"


class SampleSite:
    """Serves the sample site from entering the context to leaving it.

        with SampleSite() as site:
            site.url          # "http://127.0.0.1:49152"
            site.publish()    # two milestones are added
            site.edit()       # one number in an old milestone is corrected
            site.go_on()      # another milestone is added
            site.deploy()     # the same content once more: every page's bytes change, no record does
            site.requests     # how many requests were answered so far

    `port` 0 takes any free one. Raises OSError when the port is taken.
    """

    patience_s = 0.05  # how long its end may take to be noticed

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests = 0
        self.moved: dict[str, str] = {}  # path → where it redirects to
        self._content = pages.load()
        self._deploys = 0
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.deploy()

    @property
    def url(self) -> str:
        """Where the pages are served; their identity is `base_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The address that the site calls itself by: "https://clockwork.example"."""
        return self._content.base_url

    @property
    def content(self) -> pages.Content:
        """All that is told, also what is not shown yet."""
        return self._content

    @property
    def build_id(self) -> str:
        """What every page of this deploy carries."""
        return hashlib.sha256(f"deploy {self._deploys}".encode()).hexdigest()[:12]

    @property
    def stories(self) -> tuple[pages.Story, ...]:
        """What is published now, oldest first."""
        return self._content.shown

    def publish(self) -> None:
        """Add the two milestones that were held back."""
        self.deploy(self._content.published())

    def edit(self) -> None:
        """Correct one number in one old milestone."""
        self.deploy(self._content.edited())

    def go_on(self) -> None:
        """Add what was written after that."""
        self.deploy(self._content.continued())

    def deploy(self, content: pages.Content | None = None) -> None:
        """Build all pages again, of `content` or of what there is."""
        with self._lock:
            self._content = content or self._content
            self._deploys += 1
            self._files = self._built(self._content)

    def _built(self, content: pages.Content) -> dict[str, bytes]:
        return pages.build(content, build_id=self.build_id) | pages.build_bench(content, build_id=self.build_id)

    def file(self, path: str) -> bytes | None:
        """What is served under a path now."""
        return self._files.get(path)

    def count(self) -> None:
        """Count one request; called by the server's threads."""
        with self._lock:
            self.requests += 1

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        ended = (self.patience_s,)
        threading.Thread(target=self._server.serve_forever, args=ended, name="sample-site", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(site: SampleSite) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.count()
            path = self.path.split("?", 1)[0].split("#", 1)[0]
            if path != "/" and path.endswith("/"):
                self._answer(308, b"", {"Location": path.rstrip("/")})
                return
            if path in site.moved:
                self._answer(302, b"", {"Location": site.moved[path]})
                return
            body = site.file(path)
            if body is None:
                self._answer(404, _NOT_FOUND, {"Content-Type": "text/html; charset=utf-8"})
                return
            kind = _KINDS.get(path[path.rfind("."):] if "." in path else "", "text/html; charset=utf-8")
            headers = {"Content-Type": kind, "Vary": "Accept-Encoding"}
            if kind.startswith("text/html"):
                headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                if self.headers.get("If-None-Match", "").removeprefix("W/") == headers["ETag"]:
                    self._answer(304, b"", headers)
                    return
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body, 6, mtime=0)
                headers["Content-Encoding"] = "gzip"
            self._answer(200, body, headers)

        do_HEAD = do_GET  # noqa: N815

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET" and status != 304:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002
            return

    return Handler
