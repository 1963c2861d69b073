"""Takes an answer's body off the wire under two bounds, undoing gzip or deflate in small steps; pure."""

import zlib

from milepost.errors import FetchError, RefusedError

ACCEPT_ENCODING = "gzip, deflate"
_STEP = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class Body:
    """Collects one body: `feed` it chunks until it says enough, then `finish`.

    `max_wire` and `max_body` are bytes before and after decoding. With `cut` a body over its bound is cut there
    (robots.txt, sitemaps); without, it is refused.
    """

    def __init__(self, coding: str, *, max_wire: int, max_body: int, where: str, cut: bool = False) -> None:
        """`coding` is the Content-Encoding header, "" for none; raises RefusedError for one we did not ask for."""
        names = [name.strip().lower() for name in coding.split(",") if name.strip().lower() not in ("", "identity")]
        if len(names) > 1:
            raise RefusedError(f"refused: nested content codings ({coding[:60]})", where=where)
        if names and names[0] not in ("gzip", "x-gzip", "deflate"):
            raise RefusedError(f"refused: content coding {names[0][:30]!r}, which was not asked for", where=where)
        self._coding = names[0].removeprefix("x-") if names else ""
        self._zlib = zlib.decompressobj(_GZIP) if self._coding == "gzip" else None
        self._max_wire, self._max_body, self._where, self._cut = max_wire, max_body, where, cut
        self._wire = 0
        self._body = bytearray()
        self._over = False
        self.cut = False  # the body went on after its bound

    def _enough(self, what: str, bound: int) -> bool:
        if not self._cut:
            raise RefusedError(
                f"refused: more than {bound} bytes {what}", where=self._where,
                hint="If the page is right, raise [fetch] max_wire_bytes or max_body_bytes.",
            )
        self.cut = True
        del self._body[self._max_body:]
        return True

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk; True when no more is wanted. Raises RefusedError over a bound, FetchError on garbage."""
        self._wire += len(chunk)
        if self._wire > self._max_wire:
            return self._enough("on the wire", self._max_wire)
        if not self._coding:
            self._body += chunk
            return len(self._body) > self._max_body and self._enough("", self._max_body)
        try:
            return self._inflate(chunk)
        except zlib.error as error:
            raise FetchError(f"the {self._coding} body is broken: {error}", where=self._where, retryable=True) from None

    def _inflate(self, data: bytes) -> bool:
        if self._zlib is None:  # deflate: zlib-wrapped by the book (RFC 9110 §8.4.1.2), raw by some servers
            wrapped = len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        while not self._over:
            out = self._zlib.decompress(data, _STEP)
            self._body += out
            if len(self._body) > self._max_body:
                return self._enough("once decoded", self._max_body)
            if self._zlib.eof:
                data = self._zlib.unused_data
                if self._coding == "gzip" and data[:1] == b"\x1f":  # a further member (RFC 1952 §2.2)
                    self._zlib = zlib.decompressobj(_GZIP)
                    continue
                self._over = not (self._coding == "gzip" and not data)  # what follows the end is no content
                break
            data = self._zlib.unconsumed_tail
            if not data and len(out) < _STEP:
                break
        return False

    def finish(self) -> bytes:
        """The decoded body; raises FetchError when a compressed one broke off."""
        if self._wire and self._zlib is not None and not self._zlib.eof and not self.cut:
            if not self._cut:
                raise FetchError(f"the {self._coding} body broke off", where=self._where, retryable=True)
            self.cut = True
        return self.content

    @property
    def content(self) -> bytes:
        """What was decoded so far."""
        return bytes(self._body)


def gunzip(data: bytes, *, max_body: int) -> tuple[bytes, bool]:
    """Undo a .gz file as far as it goes: its content up to `max_body` bytes, and whether it is cut or broken."""
    body = Body("gzip", max_wire=len(data), max_body=max_body, where="gzip", cut=True)
    try:
        for start in range(0, len(data), 65536):
            if body.feed(data[start : start + 65536]):
                break
    except FetchError:
        return body.content, True
    return body.finish(), body.cut
