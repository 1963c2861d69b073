"""The first sentence of a text: as much of a site's words as a list shows."""

import re

from newsletter.issue.safe import clip, prose_line

WIDTH = 240  # characters
# A mark that ends a sentence, what may close after it, and what begins another one: a space and no small letter.
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s+[^\sa-z])|[。！？]+[」』”’)]*")
_NO_END = re.compile(  # a point after one of these ends nothing
    r"(?:\b[^\W\d_]|\b(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|No|Nr|Inc|Ltd|Co|Corp|vs|etc|approx|ca|bzw|Bd|Abb|Vol|pp|Fig))\Z"
)


def first_sentence(text: str) -> str:
    """The first sentence of `text` on one line, cut where it is long; "" for no text."""
    line = prose_line(text)
    for end in _END.finditer(line):
        before = line[: end.start()]
        if end.group()[0] == "." and (_NO_END.search(before) or before[-1:].isdigit()):
            continue
        return clip(line[: end.end()], WIDTH)
    return clip(line, WIDTH)
