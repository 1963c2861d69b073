"""Asks for one page and says what became of it: fetched, unchanged, gone, moved or failed, never an exception."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from crawler.answers import fault, html_alone
from crawler.client import Answer
from crawler.discover import DisallowedError, RobotsCache, require_allowed
from crawler.fetch import Fetcher
from crawler.outcomes import CrawlPlan, Disallowed, Failed, Fetched, Gone, Memory, NotModified, Now, Outcome, Redirected
from crawler.paths import Site
from crawler.render import Renderer, rendered_answer
from milepost.errors import FetchError
from milepost.records import PageKind, Snapshot, Validators

KEPT_HEADERS = frozenset({"content-type", "content-language", "etag", "last-modified", "date"})
_MAX_VALIDATOR = 512
_GIVE_UP = 8  # pages in a row that fail after all retries: the site is down, the rest are not asked for


def conditional(validators: Validators | None) -> dict[str, str]:
    """The request headers that ask "only if it has changed" (RFC 9110 §13.1)."""
    if validators is None:
        return {}
    pairs = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in pairs.items() if value is not None and _sendable(value)}


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable() and 0 < len(value) <= _MAX_VALIDATOR


def validators_of(headers: Mapping[str, str]) -> Validators | None:
    """What a 200's headers offer for asking again, or None."""
    etag, modified = (value if (value := headers.get(name)) and _sendable(value) else None
                      for name in ("etag", "last-modified"))
    return Validators(etag=etag, last_modified=modified) if etag or modified else None


class PageClient:
    """Turns a path into an outcome."""

    def __init__(
        self, plan: CrawlPlan, site: Site, fetcher: Fetcher, *, memory: Memory, robots: RobotsCache, now: Now,
        renderer: Renderer | None = None,
    ) -> None:
        self._plan, self._site, self._fetcher = plan, site, fetcher
        self._memory, self._robots, self._now, self._renderer = memory, robots, now, renderer
        self._streak = 0

    async def ask(self, path: str, kind: PageKind, *, poll: bool = False) -> Outcome:
        """Ask for the page at `path`; `poll`: a "not changed" is welcome whatever its links."""
        url = self._site.identity(path)
        if self._streak >= max(_GIVE_UP, 2 * self._plan.limits.concurrency):
            error = FetchError("not asked for: the site stopped answering", where=url, retryable=True)
            return Failed(url=url, kind=kind, error=error)
        blind = kind == "listing" and self._plan.links is not None and self._plan.linked_before is None and not poll
        if self._renderer is not None:  # what a page shows may have changed though its document has not
            blind = True
        try:
            outcome = await self._ask(path, url, kind, None if blind else self._memory.validators(url))
        except DisallowedError:
            return Disallowed(url=url, kind=kind)
        except FetchError as error:
            self._streak = self._streak + 1 if error.retryable else 0
            return Failed(url=url, kind=kind, error=error)
        self._streak = 0
        return outcome

    async def _ask(self, path: str, url: str, kind: PageKind, validators: Validators | None) -> Outcome:
        queried = self._plan.with_queries or path in self._plan.feeds
        place = self._site.fetch_url(path.replace("%3F", "?", 1) if queried else path)
        await self._allowed(place)
        asked = conditional(validators)

        async def follow(wanted: str) -> str | None:
            if path in self._plan.feeds or (self._plan.follows_anywhere and kind == "milestone"):
                await self._allowed(wanted)
                return wanted
            return await self._follow(path, wanted)

        got = await self._fetcher.get(place, headers=asked, follow=follow)
        answer = got.answer
        if got.elsewhere is not None:
            target = self._site.path(got.elsewhere)
            if target is None:
                raise FetchError(f"redirects to {got.elsewhere}, which is none of its pages", where=url)
            return Redirected(url=url, kind=kind, target=self._site.identity(target), status=answer.status)
        match answer.status:
            case 200:
                return await self._fetched(answer, url, kind)
            case 304 if asked:
                return NotModified(url=url, kind=kind)
            case 404 | 410:
                return Gone(url=url, kind=kind, status=answer.status)
        raise FetchError(f"answered {answer.status}", where=url, status=answer.status)

    async def _fetched(self, answer: Answer, url: str, kind: PageKind) -> Fetched:
        document, by = None, None
        self._check(answer, url)
        if self._renderer is not None and html_alone(_media_type(answer)):
            document = answer.body
            answer, by = await rendered_answer(self._renderer, answer, self._fetcher, self._permit, self._plan.limits)
            self._check(answer, url)
        return Fetched(
            snapshot=Snapshot(
                source=self._plan.source, url=url, final_url=answer.url, status=200,
                headers={name: value for name, value in answer.headers.items() if name in KEPT_HEADERS},
                body=answer.body, fetched_at=self._now(), rendered_by=by,
            ),
            kind=kind,
            validators=None if by else validators_of(answer.headers),
            document=document,
        )

    def _check(self, answer: Answer, url: str) -> None:
        why = fault(answer.body, answer.headers.get("content-type", ""), self._taken(url))
        if why is not None:
            raise FetchError(why, where=url, status=200)

    def _taken(self, url: str) -> Callable[[str], bool]:
        """Which content types are read at the page `url`."""
        takes, path = self._plan.takes, urlsplit(url).path
        return html_alone if takes is None else lambda content_type: takes(content_type, path)

    async def _permit(self, place: str) -> str:
        await self._allowed(place)
        return place

    async def _allowed(self, place: str) -> None:
        await require_allowed(place, self._fetcher, cache=self._robots, now=self._now)

    async def _follow(self, path: str, wanted: str) -> str | None:
        """Where a redirect of the page at `path` leads: the URL to ask, or None when it is another page."""
        base, fetch, there = urlsplit(self._site.base), urlsplit(self._site.fetch), urlsplit(wanted)
        same_path = self._site.path(wanted) == path
        own = _bare(there.netloc) in (_bare(base.netloc), _bare(fetch.netloc))
        if not same_path:
            if not own:
                raise FetchError(f"redirects to another site: {wanted}", where=self._site.identity(path))
            return None
        if there.netloc == base.netloc and base.netloc != fetch.netloc:
            # a mirror that answers with its original's address
            wanted = self._site.fetch_url(there.path.removeprefix(base.path))
        await self._allowed(wanted)
        return wanted


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").split(";", 1)[0].strip().lower()


def _bare(authority: str) -> str:
    return authority.lower().removeprefix("www.")
