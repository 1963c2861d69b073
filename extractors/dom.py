"""A page's markup as a small tree: cut out of the text where that is safe, read whole by BeautifulSoup where not.

    text ─▶ cut: JSON-LD blocks and <main>, found by str.find ─▶ lxml        (nearly every page: 80 % of the time is
         └▶ whole: BeautifulSoup over everything ─▶ the same kind of tree      building the tree, so it is fed less)
"""

import re
from dataclasses import dataclass

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag
from lxml import etree
from lxml.etree import HTMLParser
from lxml.etree import _Element as Element

from extractors import markup
from extractors.clean import NAME_CAP, TEXT_CAP, clean
from extractors.written_dates import Reading, read_date
from milepost.errors import ExtractError

PAGE_CAP = 10 * 1024 * 1024  # characters; the same limit as the crawler's
_DEPTH_CAP = 200  # elements inside one another; beyond it is no page for people

UNREAD = ("script", "style", "svg", "template", "noscript", "iframe", "object", "math", "select", "textarea")
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "th", "tr", "ul",
})
# lxml refuses to be handed these in a text; a lone surrogate goes when the text is encoded.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r") + b"\x7f"
# What XML 1.0 has no place for (§2.2), and a character reference (&#1;) brings in past the line above.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LD_TYPE = re.compile(r"""type\s*=\s*["']?application/ld\+json\b""", re.IGNORECASE)
_LD = "application/ld+json"
_LANGUAGE = re.compile(r"""<html\b[^>]{0,2000}?\s(?:xml:)?lang\s*=\s*["']?([A-Za-z0-9_-]{2,40})""", re.IGNORECASE)
_HEAD = 4_000  # characters in which a document says its language
_BLOCK_CAP = 200  # times that JSON-LD is spoken of; each is looked for from the one before it
