"""The picture that stands beside a link to a page: its title, the newsletter's name and accent, drawn by Pillow.

    a title ─▶ the first font that has its letters ─▶ lines that fit ─▶ PNG, 1200 × 630 (what Open Graph's readers show)
"""

import io
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, features

from milepost.settings import NewsletterSettings
from newsletter.issue.bidi import reading_direction
from newsletter.issue.safe import clip, one_line
from newsletter.issue.theme import theme_for

SIZE = (1200, 630)
_ICON = 1024  # px of an icon as it is drawn; it is half as large, with smooth edges
_EDGE = 84  # px around the text
_SIZES = range(88, 43, -4)  # px of a title's letters: the first that fits
_LINES = 5
_TITLE = 200  # characters of one
# The first that this machine has and that has the letters; then Pillow's own, which has the Latin ones.
_SERIF = ("LiberationSerif-Bold.ttf", "DejaVuSerif-Bold.ttf", "NotoSerif-Bold.ttf", "DejaVuSans-Bold.ttf")
_SANS = ("LiberationSans-Regular.ttf", "DejaVuSans.ttf", "NotoSans-Regular.ttf")
_NO_LETTER = "\U0010fffd"  # which no font has

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def card(title: str, newsletter: NewsletterSettings, *, line: str = "") -> bytes:
    """A PNG of `title` (the newsletter's own name for "") with `line` below it; what no font has is left out."""
    name = one_line(newsletter.name)
    shown = clip(one_line(title), _TITLE) or name
    rtl = reading_direction(shown, newsletter.language) == "rtl"
    return _drawn(name if title else "", shown, clip(one_line(line), 70), accent=newsletter.accent, rtl=rtl)


@lru_cache
def icon(accent: str) -> bytes:
    """The icon of all pages as a PNG, square as JSON Feed 1.1 wants a feed's own (`icon`): two stops on a line."""
    palette = theme_for(accent).light
    picture = Image.new("RGB", (_ICON, _ICON), palette.accent)
    draw, part = ImageDraw.Draw(picture), _ICON / 32  # px of the same drawing's unit in SVG
    draw.rounded_rectangle([part * n for n in (5.5, 14.5, 26.5, 17.5)], part * 1.5, fill=palette.on_accent)
    for x, radius in ((11, 3), (21, 5)):
        draw.circle((part * x, part * 16), part * radius, fill=palette.on_accent)
    held = io.BytesIO()
    picture.resize((_ICON // 2, _ICON // 2), Image.Resampling.LANCZOS).save(held, "PNG", optimize=True)
    return held.getvalue()


@lru_cache(maxsize=256)  # the last that were asked for, some megabytes: a link that many pass on is drawn once
def _drawn(name: str, shown: str, below: str, *, accent: str, rtl: bool) -> bytes:
    palette = theme_for(accent).light
    picture = Image.new("RGB", SIZE, palette.page)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, SIZE[0], 14), fill=palette.accent)
    _write(draw, name, top=_EDGE - 14, size=38, colour=palette.muted, fonts=_SANS, rtl=rtl)
    for size in _SIZES:
        lines = _wrapped(shown, size)
        if len(lines) * size * 1.18 <= SIZE[1] - 2 * _EDGE - 110 and len(lines) <= _LINES:
            break
    else:
        lines = [*lines[: _LINES - 1], f"{lines[_LINES - 1].rstrip(' ,;:.')}…"]
    top = SIZE[1] - _EDGE - 56 - len(lines) * size * 1.18
    for at, text in enumerate(lines):
        _write(draw, text, top=top + at * size * 1.18, size=size, colour=palette.ink, fonts=_SERIF, rtl=rtl)
    _write(draw, below, top=SIZE[1] - _EDGE - 24, size=34, colour=palette.accent, fonts=_SANS, rtl=rtl)
    held = io.BytesIO()
    few = picture.quantize(colors=32, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(held, "PNG", optimize=True)
    return held.getvalue()


def _wrapped(text: str, size: int) -> list[str]:
    """The text in lines that fit; a word that is longer than a line is cut."""
    font, text = _with_letters(text, _SERIF, size)
    width = SIZE[0] - 2 * _EDGE
    lines: list[str] = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _write(
    draw: ImageDraw.ImageDraw, text: str, *, top: float, size: int, colour: str, fonts: tuple[str, ...], rtl: bool
) -> None:
    font, text = _with_letters(text, fonts, size)
    if not text or (rtl and not _turns()):
        return  # letters in the wrong order are worse than none
    place = (SIZE[0] - _EDGE if rtl else _EDGE, top)
    draw.text(place, text, font=font, fill=colour, anchor="ra" if rtl else "la", direction=("rtl" if rtl else "ltr")
              if _turns() else None)


@lru_cache
def _turns() -> bool:
    """Whether letters that are read from right to left can be put in their order."""
    return bool(features.check("raqm") and features.check("fribidi"))


def _with_letters(text: str, names: tuple[str, ...], size: int) -> tuple[Font, str]:
    """The font that has the most of the text's letters, and what it has of them."""
    best: tuple[int, Font, str] | None = None
    for name in (*names, ""):
        font = _font(name, size)
        if font is None:
            continue
        has = " ".join("".join(letter for letter in text if _has(name, letter)).split())
        if best is None or len(has) > best[0]:
            best = (len(has), font, has)
        if has == text:
            break
    if best is None:  # Pillow's own is always there
        raise RuntimeError("there is no font at all")
    return best[1], best[2]


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> Font | None:
    """A font of this machine, Pillow's own for "", None where there is no such."""
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(name: str, letter: str) -> bool:
    """Whether a font has a letter: it draws it otherwise than one that no font has."""
    font = _font(name, 24)
    if font is None or not letter.isprintable():
        return False
    if letter == " ":
        return True
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))
