"""What markup may ask of a parser: checked in one linear pass before libxml2 sees it, whose time grows with a square.

    bytes ─▶ tags, attributes of each tag ─▶ (ExtractError) ─▶ the parser

It follows the tokenizer of the HTML Standard (§13.2.5), so that quotes, comments and scripts hide nothing from it.
"""

import re

from milepost.errors import ExtractError

MAX_TAGS = 1_000_000  # that lxml is asked to read: a second
MAX_ATTRIBUTES = 256  # of one tag; libxml2 compares each with all before it, so that 40,000 take it eight seconds
SMALL = 64 * 1024  # bytes that can't hold attributes enough to matter: no need to look

_HINT = "Look at what the site serves there."
_SHORT = 2 * MAX_ATTRIBUTES  # bytes of a tag that can't hold more attributes than that
_RAW = rb"script|style|title|textarea|xmp|iframe|noembed|noframes"  # hold text and no tags
# Wherever a tag may begin, in text or script or comment: up to the first ">" it holds few attributes and no open quote.
_ODD = re.compile(
    rb"""<(?=[A-Za-z/])(?!/?[A-Za-z][^<>"'=]{0,60}(?:="[^"<>]{0,2000}"[^<>"'=]{0,30}){0,30}>)"""
)
_NEXT = re.compile(
    rb"<(?:"
    rb"(?P<plain>(?!(?:%b|plaintext)[ \t\n\r\f/>])/?[a-z]"
    rb"""[^<>"'=]{0,999}(?:=(?:"[^"<>]{0,9999}"|(?!["']))[^<>"'=]{0,99}){0,40}>)"""
    rb"|(?P<comment>!--)"
    rb"|(?P<bogus>[!?]|/(?![a-z]))"
    rb"|(?P<raw>(?:%b)(?=[ \t\n\r\f/>]))"
    rb"|(?P<tag>/?[a-z][^ \t\n\r\f/>]*)"
    rb")" % (_RAW, _RAW),
    re.IGNORECASE,
)
_NAME = re.compile(rb"</?[^ \t\n\r\f/>]*")
_COMMENT_END = re.compile(rb"--!?>")
_ATTRIBUTE = re.compile(
    rb"""[ \t\n\r\f/]*[^ \t\n\r\f/>][^ \t\n\r\f/>=]*"""
    rb"""(?:[ \t\n\r\f]*=[ \t\n\r\f]*(?:"[^"]*"?|'[^']*'?|[^ \t\n\r\f>"'][^ \t\n\r\f>]*)?)?"""
)
_TAG_END = re.compile(rb"[ \t\n\r\f/]*>")
_ENDS = {name: re.compile(rb"</%b(?=[ \t\n\r\f/>])" % name, re.IGNORECASE) for name in _RAW.split(b"|")}
_ESCAPED = re.compile(
    rb"(?P<open><!--)|(?P<close>-->)|<(?:(?P<begin>script)|(?P<end>/script))(?=[ \t\n\r\f/>])", re.IGNORECASE
)


def check(data: bytes, *, max_tags: int = MAX_TAGS) -> None:
    """Raises ExtractError for markup that a parser would choke on; `data` is what it is about to be given."""
    if len(data) <= SMALL:
        return
    if data.count(b"<") > max_tags:
        raise ExtractError(f"the page has more than {max_tags:,} tags", hint=_HINT)
    if _ODD.search(data) is None:  # nearly every page: the exact way takes as long as parsing
        return
    at = 0
    while (found := _NEXT.search(data, at)) is not None:
        at, kind = found.end(), found.lastgroup
        if kind == "plain":
            if at - found.start() > _SHORT:
                _attributes(data, _name_end(data, found.start()))
        elif kind == "comment":
            at = _after_comment(data, at)
        elif kind == "bogus":
            at = data.find(b">", at) + 1 or len(data)
        else:
            at = _attributes(data, at)
            if kind == "raw" and data[at - 2 : at] != b"/>":
                at = _after_text(data, found["raw"].lower(), at)
            elif found[0].lower() == b"<plaintext":
                return


def _name_end(data: bytes, at: int) -> int:
    found = _NAME.match(data, at)
    return at if found is None else found.end()


def _attributes(data: bytes, at: int) -> int:
    """The end of the tag whose name ends at `at`; raises ExtractError when it has too many attributes."""
    count = 0
    while (found := _ATTRIBUTE.match(data, at)) is not None:
        at, count = found.end(), count + 1
        if count > MAX_ATTRIBUTES:
            raise ExtractError(f"the page has a tag with more than {MAX_ATTRIBUTES} attributes", hint=_HINT)
    end = _TAG_END.match(data, at)
    return len(data) if end is None else end.end()


def _after_comment(data: bytes, at: int) -> int:
    """The end of the comment whose text begins at `at`; "<!-->" and "<!--->" are whole ones."""
    for short in (b">", b"->"):
        if data.startswith(short, at):
            return at + len(short)
    end = _COMMENT_END.search(data, at)
    return len(data) if end is None else end.end()


def _after_text(data: bytes, name: bytes, at: int) -> int:
    """Where the closing tag of an element that holds only text begins."""
    end = _ENDS[name].search(data, at)
    if name != b"script" or (at := data.find(b"<!--", at, end.start() if end else len(data))) < 0:
        return len(data) if end is None else end.start()
    escaped = doubly = False  # a script within a commented one: "script data double escaped"
    while (found := _ESCAPED.search(data, at)) is not None:
        at, kind = found.end(), found.lastgroup
        if kind == "open":
            escaped, at = True, at - 2  # its dashes may be those of its end
        elif kind == "close":
            escaped = doubly = False
        elif kind == "begin":
            doubly = doubly or escaped
        elif doubly:
            doubly = False
        else:
            return found.start()
    return len(data)
