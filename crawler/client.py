"""One guarded HTTP client: the address is checked as the connection is made, the body as it comes off the wire.

    URL ─ check_url ─▶ pool ─ GuardedBackend (resolve, check, connect) ─▶ bounded, decoded Answer
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpcore
import httpx

from crawler.connect import GuardedBackend, Resolver, system_resolver, words
from crawler.decode import ACCEPT_ENCODING, Body
from crawler.guard import AllowedHosts, check_url
from milepost.errors import FetchError, RefusedError
from milepost.settings import FetchSettings

MAX_HEADERS = 200
DRAIN = 64 * 1024  # bytes of an error's body read to keep the connection; more costs the connection
KEEPALIVE = 4.0  # seconds, below the 5 s after which many servers hang up


class _Raw(httpx.AsyncByteStream):
    """An answer's bytes as they come off the wire, at most 64 KiB at a time."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's transport over the guarded backend, a pool for each scheme: HTTP/1.1 only, few headers."""

    def __init__(
        self, *, allowed: AllowedHosts, resolver: Resolver, connections: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._backend = GuardedBackend(allowed=allowed, resolver=resolver)
        self._connections, self._tls = connections, tls
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    def _pool(self, scheme: str) -> httpcore.AsyncConnectionPool:
        if scheme not in self._pools:
            self._pools[scheme] = httpcore.AsyncConnectionPool(
                # reading the trust store takes as long as ten pages: only where TLS is spoken
                ssl_context=self._tls or httpx.create_ssl_context(trust_env=False) if scheme == "https" else None,
                max_connections=self._connections,
                max_keepalive_connections=self._connections,
                keepalive_expiry=KEEPALIVE,
                http1=True,
                http2=False,
                network_backend=self._backend,
            )
        return self._pools[scheme]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises RefusedError, and httpcore's own errors."""
        url = request.url
        response = await self._pool(url.scheme).handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        if len(response.headers) > MAX_HEADERS:
            await response.aclose()
            raise RefusedError(f"refused: more than {MAX_HEADERS} headers", where=str(url))
        return httpx.Response(response.status, headers=response.headers, stream=_Raw(response))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one request brought: no redirect followed, the body decoded (empty unless the status is 200)."""

    url: str
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    cut: bool = False  # the body was longer than allowed and ends early


def _reason(error: BaseException) -> str:
    """The deepest cause that says something."""
    texts = [words(error)]
    while (error := error.__cause__ or error.__context__) is not None:  # type: ignore[assignment]
        texts.append(words(error))
    return next((text for text in reversed(texts) if text.strip()), type(error).__name__)[:200]


class Client:
    """Asks one URL at a time of each caller; an async context manager that owns its connections."""

    def __init__(
        self, *, limits: FetchSettings, user_agent: str, allow_hosts: Iterable[str] = (),
        resolver: Resolver = system_resolver, tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allow_hosts`: private hosts that may be asked; `tls`: whom to trust instead of the usual authorities."""
        self._limits = limits
        self._http = httpx.AsyncClient(
            transport=GuardedTransport(
                allowed=AllowedHosts.of(allow_hosts), resolver=resolver, connections=limits.concurrency, tls=tls
            ),
            headers={
                "User-Agent": user_agent,
                "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5",
                "Accept-Encoding": ACCEPT_ENCODING,
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=None,  # noqa: S113 - `get` sets one deadline for all of it
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, max_body: int | None = None, cut: bool = False,
        within: float | None = None,
    ) -> Answer:
        """One GET, no redirect followed; `max_body` (bytes) and `cut` as in `Body`, `within` seconds in all.

        Raises RefusedError when our own guard says no, FetchError (`retryable`) when no whole answer came.
        """
        target = check_url(url)
        try:
            async with asyncio.timeout(self._limits.timeout if within is None else within):
                request = self._http.build_request("GET", target.url, headers=headers)
                response = await self._http.send(request, stream=True)
                try:
                    return await self._read(target.url, response, max_body or self._limits.max_body_bytes, cut=cut)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise FetchError(
                f"not done within {self._limits.timeout:g} s", where=url, retryable=True,
                hint="Raise [fetch] timeout if the site is just slow.",
            ) from error
        except (httpcore.NetworkError, OSError) as error:
            failed = isinstance(error, httpcore.ConnectError)
            cause = _reason(error)
            what = f"could not be reached: {cause}" if failed else f"the connection broke: {cause}"
            raise FetchError(what, where=url, retryable="CERTIFICATE_VERIFY" not in cause) from error
        except httpcore.ProtocolError as error:
            raise FetchError(f"the answer is not whole HTTP: {_reason(error)}", where=url, retryable=True) from error
        except (httpx.InvalidURL, httpx.HTTPError, httpcore.UnsupportedProtocol, UnicodeError) as error:
            raise RefusedError(f"refused: {_reason(error)}", where=url) from error

    async def _read(self, url: str, response: httpx.Response, max_body: int, *, cut: bool) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code != 200:
            await self._drain(response)
            return Answer(url=url, status=response.status_code, headers=headers, body=b"")
        body = Body(
            headers.get("content-encoding", ""),
            max_wire=self._limits.max_wire_bytes, max_body=max_body, where=url, cut=cut,
        )
        async for chunk in response.aiter_raw():
            if body.feed(chunk):
                break
        content = body.finish()
        return Answer(url=url, status=200, headers=headers, body=content, cut=body.cut)

    @staticmethod
    async def _drain(response: httpx.Response) -> None:
        left = DRAIN
        async for chunk in response.aiter_raw():
            left -= len(chunk)
            if left < 0:
                break
