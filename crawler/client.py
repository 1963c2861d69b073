"""One guarded HTTP client: the address is checked as the connection is made, the body as it comes off the wire.

    URL ─ check_url ─▶ GuardedTransport ─ Connector (resolve, check, connect) ─▶ bounded, decoded Answer
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from crawler.connect import Connector, Resolver, system_resolver, words
from crawler.decode import ACCEPT_ENCODING, Body
from crawler.guard import AllowedHosts, check_url
from crawler.transport import GuardedTransport
from milepost import __version__
from milepost.errors import FetchError, RefusedError
from milepost.settings import FetchSettings

DRAIN = 64 * 1024  # bytes of an error's body read to keep the connection; more costs the connection


def user_agent(contact: str | None) -> str:
    """How we introduce ourselves: "Milepost/0.1.0 (+https://example.org/contact)"."""
    plain = "".join(sign for sign in contact or "" if " " <= sign < "\x7f").strip()
    return f"Milepost/{__version__} (+{plain})" if plain else f"Milepost/{__version__}"


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
        self, *, limits: FetchSettings, allow_hosts: Iterable[str] = (),
        resolver: Resolver = system_resolver, tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allow_hosts`: private hosts that may be asked; `tls`: whom to trust instead of the usual authorities."""
        self._limits = limits
        self._transport = GuardedTransport(
            Connector(allowed=AllowedHosts.of(allow_hosts), resolver=resolver), connections=limits.concurrency, tls=tls
        )
        self._headers = {
            "User-Agent": user_agent(limits.contact),
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Connection": "keep-alive",
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, max_body: int | None = None, cut: bool = False,
        within: float | None = None,
    ) -> Answer:
        """One GET, no redirect followed; `max_body` (bytes) and `cut` as in `Body`, `within` seconds in all.

        Raises RefusedError when our own guard says no, FetchError (`retryable`) when no whole answer came.
        """
        target = check_url(url)
        with self._told(url, "Raise [fetch] timeout if the site is just slow."):
            async with asyncio.timeout(self._limits.timeout if within is None else within):
                request = httpx.Request("GET", target.url, headers={**self._headers, **(headers or {})})
                # the transport itself: httpx's client would only add cookies, and judge a Location before we do
                response = await self._transport.handle_async_request(request)
                try:
                    return await self._read(target.url, response, max_body or self._limits.max_body_bytes, cut=cut)
                finally:
                    await response.aclose()

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str], within: float) -> int:
        """One POST of `body`; the status of its answer, of which nothing else is read. Raises as `get` does."""
        target = check_url(url)
        with self._told(url, "It is tried again."):
            async with asyncio.timeout(within):
                request = httpx.Request("POST", target.url, headers={**self._headers, **headers}, content=body)
                response = await self._transport.handle_async_request(request)
                await response.aclose()
                return response.status_code

    @contextlib.contextmanager
    def _told(self, url: str, when_late: str) -> Iterator[None]:
        """Says what the network did in our own errors."""
        try:
            yield
        except TimeoutError as error:
            raise FetchError(
                f"not done within {self._limits.timeout:g} s", where=url, retryable=True, hint=when_late
            ) from error
        except (httpx.NetworkError, OSError) as error:
            failed = isinstance(error, httpx.ConnectError)
            cause = _reason(error)
            what = f"could not be reached: {cause}" if failed else f"the connection broke: {cause}"
            raise FetchError(what, where=url, retryable="CERTIFICATE_VERIFY" not in cause) from error
        except httpx.RemoteProtocolError as error:
            raise FetchError(f"the answer is not whole HTTP: {_reason(error)}", where=url, retryable=True) from error
        except (httpx.InvalidURL, httpx.HTTPError, UnicodeError) as error:
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
