"""A known value is given up only when more witnesses tell the new one than still tell the old one, or fell silent.

    known record, record read ─▶ per field that differs: who tells the new value, who still tells the old ─▶ Contest, …
                                                       who told the old one and tells nothing now ─▶ fallen_silent
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from extractors.labels import UNLEARNT, Labels, label_key
from extractors.reconcile import Value, shown, tells
from milepost.fields import CONTENT_FIELDS, of_type
from milepost.records import Milestone, Witness
from milepost.same import cut_off
from newsletter.news.rules import says_less

_CARD = "card"
_OF_THE_SAME = ("microdata", "selector")
_PROSE = of_type("line", "prose")
_SHOWN = 80  # characters of a value in a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """One field of one record that its witnesses are not agreed to change: the known value stays."""

    url: str
    field: str
    old: Value
    new: Value
    tellers: tuple[Witness, ...]  # of the new value
    deniers: tuple[Witness, ...]  # who still tell the old one

    def __str__(self) -> str:
        name = self.field.replace("_", " ")
        return (
            f"{self.url}: {name} stays {quoted(self.old)}, as {places(self.deniers)} still {_say(self.deniers)}; "
            f"only {places(self.tellers)} {_say(self.tellers)} {quoted(self.new)}"
        )


def contests(
    known: Milestone, read: Milestone, *, believed: Collection[str] = (), same_page: bool = False,
    labels: Labels = UNLEARNT,
) -> tuple[Contest, ...]:
    """The fields of `read` whose new value is not to be taken; pure.

    Witnesses are counted by kind, and one that is vague (a year, the beginning of a text) speaks for no new value. As
    many on either side is not enough to give up what is known. `believed`: fields whose first witness is followed
    whatever the others say. `same_page`: both were read from one snapshot, so that a new extractor, not the site, is
    what changed its mind. A value that takes nothing back (`vaguer`, or another label of the same) is none to contest.
    """
    found: list[Contest] = []
    harmless = vaguer(known, read, labels)
    for name in CONTENT_FIELDS:
        old, new = getattr(known, name), getattr(read, name)
        if old == new or name in known.unknown or name in read.unknown or name in believed:
            continue
        if name in harmless or labels.same(name, old, new):
            continue
        spoke = read.evidence.get(name, ())
        deniers = [one for one in spoke if one.says is not None and tells(name, one.says, old, rather_than=new)]
        if not deniers:
            continue
        tellers = [one for one in spoke if one.says is None and not one.vague]
        if read.extractor != known.extractor and name not in _undecided(known):
            if same_page:
                continue
            # A new extractor may believe who it did not believe before: only a witness that turned counts.
            before = {one.witness for one in known.evidence.get(name, ()) if one.says is None}
            if not any(one.witness in before for one in tellers):
                continue
        if len(voices(tellers)) <= len(voices(deniers)):
            found.append(Contest(
                url=read.url, field=name, old=old, new=new, tellers=tuple(tellers), deniers=tuple(deniers),
            ))
    return tuple(found)


def fallen_silent(
    known: Milestone, read: Milestone, *, believed: Collection[str] = ()
) -> dict[str, tuple[Witness, ...]]:
    """Field → who told its known value and tells none now, where that leaves the new one without enough who tell it.

    A witness that is gone is no vote for what those that are left say: the same damage can have taken it and changed
    them. The new value needs more tellers than the old one has deniers and silent ones together; an edit that all
    witnesses tell has that, and so has one on a page whose witness was gone before. Cards come with listings, not with
    every look; another extractor may ask fewer than the one before. `believed`: as for `contests`. Pure.
    """
    if read.extractor != known.extractor:
        return {}
    found: dict[str, tuple[Witness, ...]] = {}
    for name in CONTENT_FIELDS:
        old, new = getattr(known, name), getattr(read, name)
        if old == new or name in known.unknown or name in read.unknown or name in believed:
            continue
        spoke = read.evidence.get(name, ())
        heard = voices(spoke) | {_CARD}
        silent = tuple(
            one for one in known.evidence.get(name, ()) if one.says is None and not voices([one]) & heard
        )
        tellers = voices(one for one in spoke if one.says is None and not one.vague)
        deniers = voices(one for one in spoke if one.says is not None and tells(name, one.says, old, rather_than=new))
        if silent and len(tellers) <= len(deniers | voices(silent)):
            found[name] = silent
    return found


def vaguer(known: Milestone, read: Milestone, labels: Labels = UNLEARNT) -> frozenset[str]:
    """The known fields of which `read` tells no other value, only less of it: nothing is taken back.

    A coarser date that holds the known one, whoever tells it; a text that ends in an ellipsis; a label that no link
    explains, where the known value is one of the slugs that this source links to.
    """
    found: set[str] = set()
    if read.date and known.date and says_less(known.date, read.date):
        found.add("date")
    for name in _PROSE:
        if cut_off(getattr(read, name), getattr(known, name)):
            found.add(name)
    for name, label, slug in read.labels:
        value = getattr(read, name)
        if slug is None and value and label == label_key(str(value)) and labels.is_slug(name, getattr(known, name)):
            found.add(name)
    return frozenset(found - known.unknown - read.unknown)


def voices(witnesses: Iterable[Witness]) -> frozenset[str]:
    """The independent kinds among some witnesses: microdata and selectors tell of what readers see themselves."""
    return frozenset("headings" if one.witness in _OF_THE_SAME else one.witness for one in witnesses)


def evidence_of(contest: Contest, known: tuple[Witness, ...]) -> tuple[Witness, ...]:
    """What stands behind the value that stays: who told it when it was last agreed on, and who tells otherwise now."""
    said = shown(contest.new)
    turned = [Witness(witness=one.witness, where=one.where, url=one.url, says=said) for one in contest.tellers]
    places = {_place(one) for one in turned}
    behind = [one for one in known if one.says is None or _place(one) not in places]
    return (*(behind or [replace(one, says=None) for one in contest.deniers]), *turned)


def _undecided(known: Milestone) -> frozenset[str]:
    """Fields that were contested before: one place both stands behind the value and tells another (`evidence_of`)."""
    return frozenset(
        name for name, told in known.evidence.items()
        if {_place(one) for one in told if one.says is None} & {_place(one) for one in told if one.says is not None}
    )


def _place(witness: Witness) -> tuple[str, str, str | None]:
    return witness.witness, witness.where, witness.url


def quoted(value: Value) -> str:
    """A value as a sentence shows it."""
    text = shown(value)
    return f"“{text if len(text) <= _SHOWN else f'{text[: _SHOWN - 1]}…'}”" if text else "empty"


def _say(witnesses: tuple[Witness, ...]) -> str:
    return "say" if len({one.witness for one in witnesses}) > 1 else "says"


def places(witnesses: tuple[Witness, ...]) -> str:
    """ "headings (h1)", and of several places of one kind only the first."""
    firsts = {one.witness: one.where for one in reversed(witnesses)}
    return " and ".join(f"{kind} ({where})" for kind, where in reversed(firsts.items()))
