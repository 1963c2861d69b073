"""Small lines of figures, drawn as SVG by the server; who does not see one hears in words how it begins and ends."""

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, EDGE = 220, 32, 3  # of the drawing's own units


def sparkline(figures: Sequence[float | None], *, says: str, most: float | None = None) -> Markup:
    """A line through figures, the oldest first, from 0 to `most` (or the largest); None is a gap. Pure.

    `says`: what the line is, for who doesn't see it; how it begins and ends is added.
    """
    known = [one for one in figures if one is not None]
    if not known:
        return Markup("")
    top = most or max(*known, 1.0)
    step = (WIDTH - 2 * EDGE) / max(len(figures) - 1, 1)

    def at(place: int, figure: float) -> str:
        height = EDGE + (1 - min(figure / top, 1.0)) * (HEIGHT - 2 * EDGE)
        return f"{EDGE + place * step:.1f},{height:.1f}"

    strokes: list[list[str]] = [[]]
    for place, figure in enumerate(figures):
        if figure is None:
            strokes.append([])
        else:
            strokes[-1].append(at(place, figure))
    lines = "".join(
        f'<polyline points="{" ".join(points)}" fill="none" stroke="currentColor" stroke-width="2" '
        f'stroke-linejoin="round" stroke-linecap="round"/>'
        for points in strokes if points
    )
    last = max(place for place, figure in enumerate(figures) if figure is not None)
    x, y = at(last, known[-1]).split(",")
    told = f"{says}: from {_told(known[0], most)} to {_told(known[-1], most)} in {len(known)} looks"
    return Markup(  # noqa: S704 (numbers of our own, and words that are escaped)
        f'<svg class="spark" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'aria-label="{escape(told)}">{lines}<circle cx="{x}" cy="{y}" r="3" fill="currentColor"/></svg>'
    )


def _told(figure: float, most: float | None) -> str:
    return f"{figure:.0%}" if most == 1 else f"{figure:g}"
