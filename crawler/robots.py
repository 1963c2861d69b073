"""What a host's robots.txt lets us ask, how fast, and which sitemaps it names (RFC 9309); pure.

Of the rules for "milepost", else "*", the longest match wins (protego): the standard library's parser takes the first.
"""

from dataclasses import dataclass

from protego import Protego

TOKEN = "milepost"  # noqa: S105 - the product token of RFC 9309 §2.2.1, no secret
MAX_BYTES = 500 * 1024
MAX_SITEMAPS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A host's rules for us."""

    parser: Protego | None = None  # None: no rule
    forbidden: str | None = None  # the reason why nothing may be asked
    hint: str | None = None  # what to do about that
    delay: float = 0.0  # Crawl-delay in seconds, as they wrote it
    sitemaps: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether this URL of the host may be asked."""
        if self.forbidden is not None:
            return False
        return self.parser is None or self.parser.can_fetch(url, TOKEN)


def parse(body: bytes) -> Rules:
    """Read a robots.txt; what is not a rule is passed over, what is beyond 500 KiB isn't read."""
    text = body[:MAX_BYTES].decode("utf-8-sig", "replace").replace("\0", "")
    parser = Protego.parse(text)
    return Rules(
        parser=parser,
        delay=parser.crawl_delay(TOKEN) or 0.0,
        sitemaps=tuple(dict.fromkeys(parser.sitemaps))[:MAX_SITEMAPS],
    )


def from_status(status: int) -> Rules:
    """The rules where there was no robots.txt to read: "no such file" allows all, trouble at the server forbids all."""
    if status == 429 or status >= 500:
        return Rules(forbidden=f"robots.txt answered {status}, which asks for nothing to be fetched (RFC 9309)")
    return Rules()


def unreachable(reason: str, hint: str | None = None) -> Rules:
    """The rules where robots.txt could not be had at all."""
    return Rules(forbidden=f"robots.txt could not be had: {reason}", hint=hint)
