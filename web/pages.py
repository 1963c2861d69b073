"""Pages as bytes: one template folder, one style, and the headers that keep a page to itself."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from milepost.settings import NewsletterSettings
from newsletter.phrases import ENGLISH, Phrases
from newsletter.theme import theme_for

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class Pages:
    """Renders the templates of templates/web; build it once. Every value is escaped, an unknown one is an error."""

    def __init__(self, newsletter: NewsletterSettings, *, phrases: Phrases = ENGLISH) -> None:
        theme = theme_for(newsletter.accent)
        self._environment = Environment(
            loader=FileSystemLoader(Path(str(files("templates"))) / "web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )
        self._environment.globals.update(
            newsletter=newsletter, phrases=phrases, light=theme.light, dark=theme.dark
        )
        self._images = newsletter.images

    def page(self, template: str, *, status: int = 200, private: bool = False, **values: Any) -> Response:
        """The page of `template`; `private` ones are kept by nobody and listed nowhere."""
        content = self._environment.get_template(template).render(**values)
        style = _STYLE.search(content)
        headers = {
            "Content-Security-Policy": _policy(style.group(1) if style else "", images=self._images),
            "Cache-Control": "no-store" if private or status >= 400 else "public, max-age=300",
        }
        if private:
            headers["X-Robots-Tag"] = "noindex, nofollow"
        return HTMLResponse(content, status_code=status, headers=headers)


def _policy(style: str, *, images: bool) -> str:
    """No script, no frame, nothing from elsewhere; the one style by its hash (CSP Level 3)."""
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    parts = [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "form-action 'self'", "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    if images:
        parts.append("img-src https: http:")
    return "; ".join(parts)
