"""The colours of an issue, light and dark, fitted round one accent until every pair of them can be read."""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

MIN_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3, level AA
_FITTED = 4.8  # what the accent is fitted to: a little over, for readers that shift colours


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """Colours as #rrggbb."""

    page: str  # behind everything
    card: str  # behind milestones
    tint: str  # behind "Why it mattered"
    rule: str  # lines; carries no text
    ink: str  # titles
    body: str  # running text
    muted: str  # dates, labels, the colophon
    accent: str  # links, years, the marks of the newsletter
    on_accent: str  # text on the accent

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """(name, text colour, background) of every combination that the templates use."""
        for ground in ("page", "card", "tint"):
            for text in ("ink", "body", "muted", "accent"):
                yield f"{text} on {ground}", getattr(self, text), getattr(self, ground)
        yield "text on accent", self.on_accent, self.accent


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """The two palettes of an issue; which one shows is the reader's device's choice."""

    light: Palette
    dark: Palette


def theme_for(accent: str) -> Theme:
    """The theme of an accent (#rrggbb), which is darkened for light and lightened for dark as far as is needed."""
    return Theme(light=_light(accent), dark=_dark(accent))


def _light(accent: str) -> Palette:
    page, card = "#f4f2ee", "#ffffff"
    fitted = _fit(accent, "#000000", (page, card, _mix(card, accent, 0.07)))
    return Palette(
        page=page, card=card, tint=_mix(card, accent, 0.07), rule="#e3dfd7",
        ink="#1b1a1f", body="#35323b", muted="#5f5b66", accent=fitted, on_accent=card,
    )


def _dark(accent: str) -> Palette:
    page, card = "#111015", "#1b1a20"
    tint = _mix(card, accent, 0.13)
    fitted = _fit(accent, "#ffffff", (page, card, tint))
    return Palette(
        page=page, card=card, tint=tint, rule="#37343f",
        ink="#f4f2f7", body="#d6d3dc", muted="#aaa6b3", accent=fitted, on_accent=page,
    )


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1..21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _fit(colour: str, towards: str, grounds: tuple[str, ...]) -> str:
    """`colour`, its lightness moved towards that of black or white until it can be read on all `grounds`."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in _channels(colour)))
    goal = _channels(towards)[0] / 255
    for step in range(101):
        moved = colorsys.hls_to_rgb(hue, lightness + (goal - lightness) * step / 100, saturation)
        fitted = _hex(*(part * 255 for part in moved))
        if all(contrast(fitted, ground) >= _FITTED for ground in grounds):
            return fitted
    return towards


def _mix(colour: str, other: str, part: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return _hex(*(a + (b - a) * part for a, b in pairs))


def _hex(*channels: float) -> str:
    return "#" + "".join(f"{round(channel):02x}" for channel in channels)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
