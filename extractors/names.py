"""Names that were run together in plain text, told apart: "Volodymyr MnihDemis HassabisDeepMind".

Where names may part is given by capitals; which of those places are taken is the best-scoring way to cut the line,
by names the store knows, words of the page's own prose, and the shapes of names. Organizations follow people.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from extractors.clean import clean
from milepost.records import KnownNames

NOBODY = KnownNames()
Kind = Literal["person", "organization"]
_LINE_CAP = 1_000  # characters looked at; a card shows four names

# A small letter, a closing sign or a capital at a word's end, met by a capital that begins a word.
_PARTS = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z\u00c0-\u00de])|(?<=[)\].!’'0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAMEL = re.compile(r"(?<=[a-z\u00df-\u00ff])(?=[A-Z\u00c0-\u00de])|(?<=[A-Z]{3})(?=[A-Z][a-z])")
# Words are told here as lines of text, for the eye.
_JOINED_TEXT = "Mc Mac Le La De Di Du Da Fitz Van Del Della Des Lo O' O’ D' D’ Data Deep Git Linked Open Pay Space You"
_PARTICLE_TEXT = "de la le van von der den del di da dos bin ibn al el ter ten zu zur"
_JOINING_TEXT = "of the and for at y"
_ORGANIZATION_TEXT = """
    ab academy agency ag ai airlines alliance army association authority bank bell bros bureau cathedral center
    centre club co college commission committee company computing conference consortium corp corporation council
    department dynamics electric electronics energy foundation fund gmbh government group holdings hospital inc
    industries initiative institut institute institution international lab laboratories laboratory labs league limited
    llc ltd machines media ministry motors museum navy network networks nv observatory office organization organisation
    parliament partners plc press program project railway research robotics sa school science sciences service services
    society software startups studios systems team technologies technology telephone telescope trust union universität
    université university various works
"""
_ORGANIZATION_FIRST_TEXT = """
    amazon apple bell bbc carnegie european facebook general google harvard ibm intel meta microsoft mit nasa national
    nobel nvidia open princeton rand royal soviet stanford united yahoo
"""
_JOINED = frozenset(_JOINED_TEXT.split())  # beginnings of names that keep a capital inside: "LeCun", "OpenAI"
_PERSON_SMALL = frozenset(_PARTICLE_TEXT.split())
_SMALL = _PERSON_SMALL | frozenset(_JOINING_TEXT.split())
_ORG_WORDS = frozenset(_ORGANIZATION_TEXT.split())
_ORG_BEGINS = frozenset(_ORGANIZATION_FIRST_TEXT.split())
_NEVER_ALONE = _ORG_WORDS | frozenset(["european", "general", "national", "nobel", "royal", "soviet", "united"])


class Split(NamedTuple):
    """People and organizations of a line, and how sure that is: 1 known names, 0.9 seen in prose, less by shape."""

    people: tuple[str, ...]
    organizations: tuple[str, ...]
    confidence: float


class _Judged(NamedTuple):
    score: float
    sure: float


def split(raw: str, known: KnownNames = NOBODY, prose: str = "") -> Split:
    """Tell apart the names of one line. `prose` is text of the same page in which names may appear by themselves."""
    line = clean(raw, _LINE_CAP)
    if not line:
        return Split((), (), 1.0)
    cuts = [0, *sorted({match.start() for match in _PARTS.finditer(line)} | _known_cuts(line, known)), len(line)]
    judge = cache(lambda segment, kind: _judge(segment, kind, known, prose))
    # best[i][kind]: the best way to cut line[:cuts[i]] whose last name is of that kind
    best: list[dict[Kind, tuple[float, tuple[tuple[str, Kind, float], ...]]]] = [{} for _ in cuts]
    best[0] = {"person": (0.0, ())}
    for end in range(1, len(cuts)):
        for start in range(max(0, end - 12), end):
            segment = line[cuts[start]:cuts[end]].strip(" ,;·")
            if not segment or not best[start]:
                continue
            for before, (score, path) in best[start].items():
                for kind in ("person", "organization"):
                    if before == "organization" and kind == "person":
                        continue  # organizations follow people
                    judged = judge(segment, kind)
                    total = score + judged.score
                    if kind not in best[end] or total > best[end][kind][0]:
                        best[end][kind] = (total, (*path, (segment, kind, judged.sure)))
    if not best[-1]:
        return Split((), (line,), 0.1)
    _, path = max(best[-1].values(), key=lambda way: way[0])
    return _collected(path)


def tell_apart(entries: Sequence[str], known: KnownNames = NOBODY, prose: str = "") -> Split:
    """Say of names that already stand apart which are people; organizations follow people."""
    named = [entry for entry in entries if entry.strip()]
    best: tuple[float, tuple[tuple[str, Kind, float], ...]] | None = None
    for people in range(len(named) + 1):
        kinds: list[Kind] = ["person" if index < people else "organization" for index in range(len(named))]
        judged = [_judge(entry, kind, known, prose) for entry, kind in zip(named, kinds, strict=True)]
        total = sum(one.score for one in judged)
        if best is None or total > best[0]:
            best = total, tuple(
                (entry, kind, one.sure) for entry, kind, one in zip(named, kinds, judged, strict=True)
            )
    return _collected(best[1] if best else ())


def looks_like_names(line: str, known: KnownNames = NOBODY) -> bool:
    """Whether a line could be names run together, rather than a description: it has no small words of prose."""
    words = clean(line, _LINE_CAP).split()
    if not words or len(words) > 40:
        return False
    if any(name in line for name in known.people | known.organizations):
        return True
    if line.rstrip().endswith((".", "!", "?")) and not line.rstrip().endswith(("Inc.", "Corp.", "Ltd.", "Jr.")):
        return False
    return all(word[:1].isupper() or word.casefold() in _SMALL or not word[:1].isalpha() or _CAMEL.search(word)
               for word in words)


def _known_cuts(line: str, known: KnownNames) -> set[int]:
    """Both ends of every known name in the line: "iRobot" begins with a small letter."""
    cuts: set[int] = set()
    for name in known.people | known.organizations:
        at = line.find(name) if name else -1
        while at >= 0:
            cuts |= {at, at + len(name)}
            at = line.find(name, at + 1)
    # Names that were run together touch; a space is inside a name: "Google AI" is not Google and AI.
    return {at for at in cuts if 0 < at < len(line) and line[at - 1] != " " and line[at] != " "}


def _collected(path: Sequence[tuple[str, Kind, float]]) -> Split:
    people = tuple(dict.fromkeys(name for name, kind, _ in path if kind == "person"))
    organizations = tuple(dict.fromkeys(name for name, kind, _ in path if kind == "organization"))
    return Split(people, organizations, round(min((sure for _, _, sure in path), default=1.0), 2))


def _judge(name: str, kind: Kind, known: KnownNames, prose: str) -> _Judged:
    """How well `name` stands as one name of that kind; each further name costs 1, so fewer are better."""
    if name in (known.people if kind == "person" else known.organizations):
        return _Judged(9.0, 1.0)
    if name in (known.organizations if kind == "person" else known.people):
        return _Judged(-3.0, 0.2)
    words = name.split()
    score = -1.0
    sure = 0.6
    if _in_prose(name, prose):
        score += 2.0
        sure = 0.9
    inner = _inner_parts(words)
    plain = [word.strip("().,'’").casefold() for word in words]
    org_like = plain[-1] in _ORG_WORDS or plain[0] in _ORG_WORDS | _ORG_BEGINS or "of" in plain or "&" in name
    if kind == "person":
        fits = 2 <= len(words) <= 5 and all(_is_name_word(word) for word in words) and not org_like
        score += (3.0 if fits else -2.0) - 3.0 * inner
    elif len(words) == 1:
        alone = plain[0] not in _NEVER_ALONE
        score += (2.5 if alone and (org_like or (name.isupper() and len(name) > 2)) else 0.9 if alone else -1.0)
        score -= 0.5 if inner > 1 else 0.0
        sure = min(sure, 0.5) if not org_like and sure < 0.9 else sure
    else:
        score += (3.5 if org_like else 0.5) - 3.0 * inner
        sure = sure if org_like or sure >= 0.9 else 0.4
    if words[-1] in _JOINED:
        score -= 3.0
    if not name[0].isupper() and not name[0].isdigit():
        score -= 2.0
    return _Judged(score, sure if score > 0 else min(sure, 0.4))


def _inner_parts(words: Sequence[str]) -> int:
    """Places inside a name where another may have begun: "MnihDemis"; "LeCun" and "McCarthy" have none."""
    parts = 0
    for word in words:
        for match in _CAMEL.finditer(word):
            if word[: match.start()] not in _JOINED:
                parts += 1
    return parts


def _is_name_word(word: str) -> bool:
    return word.casefold() in _PERSON_SMALL or (word[0].isupper() and not any(sign.isdigit() for sign in word)
                                                and (len(word.rstrip(".")) == 1 or not word.isupper()))


def _in_prose(name: str, prose: str) -> bool:
    """Whether the prose has the name as whole words."""
    return bool(prose) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", prose) is not None
