"""Pages as bytes: one template folder, one style, and the headers that keep a page to itself."""

import base64
import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from jinja2 import BytecodeCache, Environment, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from milepost.settings import NewsletterSettings, WebSettings
from newsletter.issue.bidi import lang_and_dir, reading_direction
from newsletter.issue.render import loader_for
from newsletter.issue.safe import clip, one_line
from newsletter.issue.theme import theme_for
from newsletter.words.languages import NAMES, direction, in_language, known, phrases_for, preferred
from newsletter.words.phrases import Phrases

CHECKED = "public, max-age=0, must-revalidate"  # what is corrected shows at once; asking costs next to nothing
LASTING = "public, max-age=86400"
_DESCRIBED = 200  # characters of a description, about as many as others show of it
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a public page says of itself to whoever links to it, shows its link, or lists it."""

    title: str
    description: str
    canonical: str  # the one address that stands for it
    card: str  # the address of its picture
    kind: Literal["website", "article"] = "website"  # of Open Graph
    published: dt.datetime | None = None
    changed: dt.datetime | None = None


def described(*parts: str) -> str:
    """A description of these sentences, as far as they are there."""
    return clip(" ".join(filter(None, map(one_line, parts))), _DESCRIBED)


class _Compiled(BytecodeCache):
    """What templates were compiled to, by their names and sources: once a process, not once a language or a desk."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (code := self._code.get((bucket.key, bucket.checksum))) is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


COMPILED = _Compiled()


class Pages:
    """Renders the templates of templates/web; build it once. Every value is escaped, an unknown one is an error."""

    def __init__(
        self, newsletter: NewsletterSettings, web: WebSettings | None = None, *, phrases: Phrases | None = None,
        signup: str | None = None,
    ) -> None:
        """`signup`: where the way in is, "none" for nowhere; left out, it is ours."""
        root = urlsplit(web.base_url).path if web else ""
        self._newsletter, self._web = newsletter, web
        self._others: dict[str, Pages] = {}
        theme = theme_for(newsletter.accent)
        self.phrases = phrases or phrases_for(newsletter.language)
        self._environment = Environment(
            loader=loader_for(newsletter.templates, "web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, bytecode_cache=COMPILED,
        )
        self._environment.filters["lang_and_dir"] = lang_and_dir
        self._environment.filters["reading_direction"] = reading_direction
        self._environment.globals.update(
            newsletter=newsletter, phrases=self.phrases, light=theme.light, dark=theme.dark,
            direction=direction(newsletter.language), serif=newsletter.font, sans=newsletter.label_font,
            root=root, signup=web is not None and web.signup and signup != "none",
            signup_link=signup or f"{root}/subscribe",
            base=web.base_url if web else "", timeline=web is not None and web.timeline != "off",
            lang_and_dir=lang_and_dir,
        )
        self._images = newsletter.images

    def spoken(self, language: str | None) -> "Pages":
        """The same pages in another language; these where it is none of ours, or the newsletter's."""
        newsletter = in_language(self._newsletter, language)
        if newsletter is self._newsletter:
            return self
        if newsletter.language not in self._others:  # two threads may both make it, to the same end
            self._others[newsletter.language] = Pages(newsletter, self._web)
        return self._others[newsletter.language]

    def for_visitor(self, request: Request) -> "Pages":
        """In the language that the visitor's browser asks for, for who is no reader that we know."""
        return self.spoken(preferred(request.headers.get("accept-language", ""), self._newsletter.language))

    def languages(self) -> list[tuple[str, str, bool]]:
        """Every language there is: its tag, its name in itself, and whether these pages are in it."""
        return [(tag, name, tag == (known(self._newsletter.language) or "en")) for tag, name in NAMES.items()]

    def html(self, template: str, **values: Any) -> str:
        """The page of `template` as text."""
        return self._environment.get_template(template).render(**values)

    def page(
        self, template: str, *, status: int = 200, private: bool = False, script: str | None = None, **values: Any
    ) -> Response:
        """The page of `template`; `private` ones are kept by nobody and listed nowhere.

        `script`: the name of the one script that it may run, which is in the template's `script`.
        """
        code = Markup(self.html(script).strip()) if script else ""  # noqa: S704 (ours, and nobody's words are in it)
        content = self.html(template, script=code, **values)
        style = _STYLE.search(content)
        headers = {
            "Content-Security-Policy": _policy(style.group(1) if style else "", script=code, images=self._images),
            "Cache-Control": "no-store" if private or status >= 400 else CHECKED,
        }
        if private:
            headers["X-Robots-Tag"] = "noindex, nofollow"
        elif status < 400:
            headers["ETag"] = etag(content.encode("utf-8"))
        return HTMLResponse(content, status_code=status, headers=headers)

    @staticmethod
    def document(content: bytes, media_type: str, *, kept: str = CHECKED) -> Response:
        """What is no page: a feed, a picture, a sitemap."""
        return Response(content, media_type=media_type, headers={
            "ETag": etag(content), "Cache-Control": kept,
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        })


def etag(content: bytes) -> str:
    """A strong validator (RFC 9110 §8.8.3) of some bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _policy(style: str, *, script: str, images: bool | Literal["hosted"]) -> str:
    """No frame, nothing from elsewhere; the one style and the one script, if any, by their hashes (CSP Level 3)."""
    parts = [
        "default-src 'none'", f"style-src {_hash_source(style)}", "form-action 'self'", "base-uri 'none'",
        "frame-ancestors 'none'",
        # The site's own: the icon, and the pictures that we serve.
        "img-src 'self' https: http:" if images and images != "hosted" else "img-src 'self'",
    ]
    if script:
        parts += [f"script-src {_hash_source(script)}", "connect-src 'self'"]
    return "; ".join(parts)


def _hash_source(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
