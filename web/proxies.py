"""Who asks: the machine that connects, or the visitor whom a proxy of ours names in X-Forwarded-For.

    peer in web.trusted_proxies ─▶ the last address of X-Forwarded-For that is none of them
    any other peer ─▶ itself, whatever it says: the header is a visitor's own word
"""

import ipaddress
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from milepost.settings import WebSettings
from web.public.subscribe_api import PATH

_log = logging.getLogger(__name__)
BY_OURS = "milepost.by_our_proxy"  # in a request's scope: whether the machine that connects is a proxy of ours
_COUNTED = ("/subscribe", PATH)  # what a network may do only so often


class Proxies:
    """Around the application; what is wrong with the way here is said in the log."""

    def __init__(self, app: ASGIApp, web: WebSettings) -> None:
        self._app = app
        self._networks = [ipaddress.ip_network(each) for each in web.trusted_proxies]
        self._believing = ProxyHeadersMiddleware(app, list(web.trusted_proxies))  # type: ignore[arg-type]
        self._public = not _loopback(urlsplit(web.base_url).hostname or "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        peer = _plain(scope["client"][0]) if scope.get("client") else ""
        scope = dict(scope, client=(peer, scope["client"][1])) if peer else scope
        named = "x-forwarded-for" in Headers(scope=scope)
        trusted = self._trusted(peer)
        scope = dict(scope, **{BY_OURS: trusted})
        if not trusted:
            if named:
                _log.warning("X-Forwarded-For of %s is not believed: it is none of web.trusted_proxies. If it is your "
                             "proxy, name it there: all its visitors count as one network", peer or "a nameless peer")
            await self._app(scope, receive, send)
            return
        if not named and self._public and scope["method"] == "POST" and scope["path"] in _COUNTED:
            _log.warning("a sign-up by the proxy %s names no visitor: let it send X-Forwarded-For, or all its visitors "
                         "count as one network", peer)
        await self._believing(scope, receive, send)  # type: ignore[arg-type]

    def _trusted(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _plain(host: str) -> str:
    """IPv4 in IPv6's clothes, as a socket for both sees it, is IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
