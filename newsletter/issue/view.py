"""What the templates see of an issue: plain strings in reading order, every decision about them already made.

    Draft, settings ─▶ IssueView ─▶ ItemView … (full, or brief where a mail would grow too long)
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from milepost.codec import field_to_json
from milepost.fields import FIELD, shown_at
from milepost.records import Cadence, Card, IssueItem, Milestone, check_aware
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from milepost.text_shape import is_shaped
from newsletter.issue.bidi import reading_direction
from newsletter.issue.compose import Draft, headline
from newsletter.issue.corrections import (
    CorrectionView,
    by_milestone,
    correction_view,
    in_words,
    slug_in_words,
    tally,
)
from newsletter.issue.design import FIRST, LINES, TODAY
from newsletter.issue.intro import Block, blocks
from newsletter.issue.known import NOTHING_KNOWN, Known, page_key
from newsletter.issue.prose import Prose, as_lines, prose
from newsletter.issue.safe import clip, link, one_line, paragraphs, prose_line, prose_lines
from newsletter.words.languages import direction
from newsletter.words.phrases import Phrases

_SUMMARY_WIDTH = 240  # a brief item's text
_TITLE_WIDTH = 200  # a brief item's title
_CONTENTS_WIDTH = 88  # a title in the list of contents: two lines on a telephone
_CONTENTS_UP_TO = 12  # titles in it: more than these would keep a reader from the first milestone
_NEIGHBOURS_UP_TO = 5  # new milestones in it: among more, those known already would hide them
_CONTENTS_FROM = 3  # fewer items than this need no list of contents
_IN_FULL = 5  # stories; the others of a mail are told in a line each
_TAGS_UP_TO = 8
_NEVER = (10_000, 0, 0)  # after every date
_DOT = " · "
_LINK, _DAY = "milepost-link-", "milepost-day-"  # what stands in a rendering for what is known at the hand-over
_DAY_DIGITS = 15  # of the hash: with the word before it, about as long as a day in words
PREFERENCES = "/preferences"  # after a recipient's own link: the page of their choice
BACK = "/back"  # … and what brings them back who left


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is shown: of the news the first `full` in full, the next `brief` in brief, and so many corrections."""

    full: int
    brief: int
    corrections: int

    @classmethod
    def whole(cls, items: Sequence[IssueItem]) -> Self:
        """All of it."""
        news, corrections = tally(items)
        return cls(full=news, brief=0, corrections=corrections)

    @classmethod
    def choices(cls, items: Sequence[IssueItem], design: int) -> list[Self]:
        """What a mail may show, the most first: it takes the first that is not too long."""
        news, corrections = tally(items)
        least = min(news, 1)
        most = news if design == FIRST else min(news, _IN_FULL)
        return [
            *(cls(full=full, brief=news - full, corrections=corrections) for full in range(most, -1, -1)),
            *(cls(full=0, brief=brief, corrections=corrections) for brief in range(news - 1, 0, -1)),
            *(cls(full=0, brief=least, corrections=few) for few in range(corrections - 1, -least, -1)),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageView:
    """A picture with its description."""

    src: str
    alt: str
    width: int = 0  # CSS pixels, 0 where nobody knows
    height: int = 0
    source: str = ""  # where it is from: "Picture: timeline.example"
    source_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A few words of a site or of ours."""

    text: str
    language: str = ""  # language tag (BCP 47), "" where nobody said


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A milestone on a strip or in a list: when, and its title."""

    when: str
    title: str
    here: bool = False  # a new one, among its neighbours
    url: str | None = None
    language: str = ""  # of its title, "" where nobody said


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A field that a mail shows beside its label."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemView:
    """A milestone as it is read."""

    milestone_id: int
    full: bool
    title: str
    year: str  # "1957", or "" when undated
    facts: str  # date to the precision known, category, era, impact: "September 2012 · Research · Impact 5 of 5"
    facts_beside_year: str  # the same where the year is shown already
    date: str  # "September 2012", "" when undated
    labels: tuple[Words, ...]  # what of the facts comes after the date
    tags: tuple[Words, ...]
    era: Words | None
    earlier: Mark | None  # the neighbour before it
    later: Mark | None
    language: str  # of the site's words, "" where nobody said
    direction: str  # "ltr" | "rtl": how most of it is read
    what: tuple[str, ...]  # line by line
    why: tuple[str, ...]
    what_told: tuple[Prose, ...]  # the same in its shape: paragraphs, lists, code
    why_told: tuple[Prose, ...]
    rows: tuple[Row, ...]  # what else is told, each beside its label
    image: ImageView | None
    strip: tuple[Mark, ...]  # the neighbours with itself between them; () when none is known
    url: str | None
    link_text: str
    link_label: str  # the same for those who hear the links alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The milestones of an era that are told in a line each, by date."""

    era: Words | None
    items: tuple[ItemView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueView:
    """An issue as it is read. `lead` is its first piece of news, None where there are only corrections."""

    name: str
    tagline: str
    language: str
    direction: str  # "ltr" | "rtl"
    subject: str
    preheader: str
    logo: ImageView | None
    logo_width: int  # CSS pixels
    intro: tuple[Block, ...]
    line: str  # "Weekly no. 12 · Monday, 23 November 2026 · 2 new milestones"
    lead: ItemView | None
    news: tuple[ItemView, ...]  # after the lead
    groups: tuple[Group, ...]  # of the news after the lead those in brief
    corrections: tuple[CorrectionView, ...]
    contents: tuple[Mark, ...]  # by date; () when the issue is short
    own_contents: tuple[Mark, ...]  # the same without any neighbours: the stories told in full, then how many more
    contents_title: str
    left_out: str  # a sentence, or ""
    why_you: str
    postal_address: tuple[str, ...]  # its lines
    issue_url: str
    placeholder: str  # where the recipient's own link goes: the way out
    preferences: str  # and the one to the page of their choice
    subscribe: str  # where whoever it was forwarded to can sign up, or ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What an issue's plans share: an issue that is too long for a mail is made several times."""

    items: dict[tuple[int, bool], ItemView] = field(default_factory=dict)  # (place among the news, in full)
    corrections: list[CorrectionView] = field(default_factory=list)


def link_slot(digest: str) -> str:
    """What stands for the recipient's own link, for an issue whose inputs have that hash (hex)."""
    return f"{_LINK}{digest[:20]}"


def day_slot(placeholder: str) -> str:
    """What stands for the day of the hand-over beside that `link_slot`; as unlikely to be met in a record."""
    return f"{_DAY}{placeholder.removeprefix(_LINK)[:_DAY_DIGITS]}"


def day_in_words(moment: dt.datetime, newsletter: NewsletterSettings, phrases: Phrases) -> str:
    """The day of a masthead: "Monday, 23 November 2026", in the newsletter's own time zone."""
    return phrases.day(check_aware(moment).astimezone(ZoneInfo(newsletter.timezone)).date())


def issue_view(
    draft: Draft, *, number: int, cadence: Cadence, sequence: int | None, day: str, plan: Plan, placeholder: str,
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, phrases: Phrases,
    known: Known = NOTHING_KNOWN, design: int = TODAY, made: Made | None = None,
) -> IssueView:
    """Make the view of an issue; `day` stands in its masthead, in words or as the slot for them.

    `made`: what other plans for the same issue have made already, and this one adds to.
    """
    made = made or Made()
    issue_url = issue_link(web, number)
    news = [item for item in draft.items if item.role == "news"]
    wrong = by_milestone(draft.items)
    shown = news[: plan.full + plan.brief]
    views = []
    for place, item in enumerate(shown):
        key = (place, place < plan.full)
        if key not in made.items:
            made.items[key] = _item(
                item, full=place < plan.full, issue_url=issue_url, phrases=phrases, known=known, design=design,
                image=_picture(
                    item.milestone, lead=place == 0, newsletter=newsletter, web=web, known=known, phrases=phrases
                ),
            )
        views.append(made.items[key])
    for group in wrong[len(made.corrections) : plan.corrections]:
        made.corrections.append(
            correction_view(group, phrases=phrases, timezone=newsletter.timezone, known=known, design=design)
        )
    corrections = tuple(made.corrections[: plan.corrections])
    contents = _contents(shown, phrases) if len(shown) >= _CONTENTS_FROM else ()
    among = any(mark.when and not mark.here for mark in contents)
    name = one_line(newsletter.name)
    line = (phrases.numbered_issue(number, cadence, sequence), day, phrases.tally(len(news), len(wrong)))
    return IssueView(
        name=name,
        tagline=one_line(newsletter.tagline),
        language=newsletter.language,
        direction=direction(newsletter.language),
        subject=draft.subject,
        preheader=draft.preheader,
        logo=ImageView(src=newsletter.logo, alt=one_line(newsletter.logo_alt) or name) if newsletter.logo else None,
        logo_width=newsletter.logo_width,
        intro=blocks(draft.intro),
        line=_DOT.join(line),
        lead=views[0] if views else None,
        news=tuple(views[1:]),
        groups=_groups(shown[1:], views[1:]),
        corrections=corrections,
        contents=contents,
        own_contents=_own_contents(shown, views, phrases) if len(shown) >= _CONTENTS_FROM else (),
        contents_title=phrases.in_this_issue_among if among else phrases.in_this_issue,
        left_out=phrases.left_out(len(news) + len(wrong) - len(shown) - len(corrections)),
        why_you=phrases.why_you.format(name=name, rhythm=phrases.rhythms[cadence]),
        postal_address=paragraphs(mail.postal_address),
        issue_url=issue_url,
        placeholder=placeholder,
        preferences=f"{placeholder}{PREFERENCES}",
        subscribe=f"{web.base_url}/subscribe" if web.signup else "",
    )


def issue_link(web: WebSettings, number: int) -> str:
    """The address of an issue's own page."""
    return f"{web.base_url}/issues/{number}"


def _item(
    item: IssueItem, *, full: bool, image: ImageView | None, issue_url: str, phrases: Phrases, known: Known, design: int
) -> ItemView:
    milestone = item.milestone
    language = known.languages.get(milestone.source, "")
    title = headline(milestone, phrases) if design > FIRST else one_line(milestone.title)
    what, url = prose_lines(milestone.what_happened), link(milestone.url)
    why = prose_lines(milestone.why_it_mattered) if full else ()
    shaped = full and design > LINES
    year, when = str(milestone.date.year) if milestone.date else "", phrases.date(milestone.date)
    words = _labels(milestone, phrases, known, language) if full else ()
    labels = tuple(word.text for word in words)
    before, after = _beside(milestone, known, language) if full else (None, None)
    era = Words(text=slug_in_words(milestone.era, phrases, known), language=language) if milestone.era else None
    if not full:
        summary = clip(" ".join(what) if not is_shaped(milestone.what_happened)
                       else prose_line(milestone.what_happened), _SUMMARY_WIDTH)
        title, what, url = clip(title, _TITLE_WIDTH), (summary,) if summary else (), url or issue_url
    link_text = phrases.read_on if full else phrases.read_rest
    return ItemView(
        milestone_id=item.milestone_id,
        full=full,
        title=title,
        year=year,
        facts=_DOT.join(filter(None, (when, *labels))),
        facts_beside_year=_DOT.join(filter(None, ("" if when == year else when, *labels))),
        what=what,
        why=why,
        what_told=prose(milestone.what_happened) if shaped else as_lines(what),
        why_told=prose(milestone.why_it_mattered) if shaped else as_lines(why),
        rows=_rows(milestone, phrases, known) if full else (),
        image=(image if image is None or image.alt else replace(image, alt=title)) if full else None,
        date=when,
        labels=words,
        tags=_tags(milestone, phrases, known, language) if full else (),
        era=era,
        earlier=before,
        later=after,
        language=language,
        direction=reading_direction(" ".join((title, *what)), language),
        strip=_strip(milestone, before, after, language) if full else (),
        url=url,
        link_text=link_text,
        link_label=phrases.read_on_about.format(text=link_text, title=clip(title, _CONTENTS_WIDTH)),
    )


def _labels(milestone: Milestone, phrases: Phrases, known: Known, language: str) -> tuple[Words, ...]:
    """What stands after the date, as far as it is known; what the operator or the site has a word for is that alone."""
    forms = {"era": phrases.era, "impact": phrases.impact}
    told = []
    for name in shown_at("facts"):
        value = field_to_json(milestone, name)
        words = "" if FIELD[name].type == "date" else in_words(name, value, phrases, known)
        if words:
            called = FIELD[name].type == "slug" and known.has_word_for(value)
            form = "{words}" if called else forms.get(name, "{words}")
            ours = FIELD[name].type != "slug" or value in known.labels
            said = form.format(words=words, era=words, impact=milestone.impact)
            told.append(Words(text=said, language="" if ours or form != "{words}" else language))
    return tuple(told)


def _tags(milestone: Milestone, phrases: Phrases, known: Known, language: str) -> tuple[Words, ...]:
    """The tags, but for those that say the category or the era once more."""
    said = {milestone.category, milestone.era}
    return tuple(
        Words(text=slug_in_words(slug, phrases, known), language="" if slug in known.labels else language)
        for slug in dict.fromkeys(milestone.tags) if slug not in said
    )[:_TAGS_UP_TO]


def _rows(milestone: Milestone, phrases: Phrases, known: Known) -> tuple[Row, ...]:
    told = ((name, in_words(name, field_to_json(milestone, name), phrases, known)) for name in shown_at("row"))
    return tuple(Row(label=phrases.field(name), text=words) for name, words in told if words)


def _picture(
    milestone: Milestone, *, lead: bool, newsletter: NewsletterSettings, web: WebSettings, known: Known,
    phrases: Phrases,
) -> ImageView | None:
    """The picture, if it can be loaded without giving the reader away: from ourselves, or else over https only."""
    if milestone.image is None or not newsletter.images:
        return None
    src, alt = link(milestone.image.url), one_line(milestone.image.alt)
    if newsletter.images == "hosted":
        hosted = known.pictures.get(milestone.image.url or "") if lead else None
        if hosted is None:
            return None
        page = link(milestone.url) or src or ""
        return ImageView(
            src=f"{web.base_url}/i/{hosted.name}", alt=alt, width=hosted.width, height=hosted.height,
            source=phrases.picture_from.format(place=urlsplit(page).hostname or ""), source_url=page,
        )
    return ImageView(src=src, alt=alt) if src is not None and src.startswith("https:") else None


def _beside(milestone: Milestone, known: Known, language: str) -> tuple[Mark | None, Mark | None]:
    """The nearest related milestones before and after it, as far as they are known."""
    marks = [
        replace(_neighbour(card), url=link(known.pages.get(page_key(milestone.source, card.key or ""))),
                language=language)
        if card else None
        for card in nearest(milestone)
    ]
    return marks[0], marks[1]


def _groups(items: Sequence[IssueItem], views: Sequence[ItemView]) -> tuple[Group, ...]:
    """What is told in brief, by era: the eras and what is in them in order of date, what has none last."""
    dated = sorted(
        ((item.milestone.date.sort_key if item.milestone.date else _NEVER, place, item.milestone.era, view)
         for place, (item, view) in enumerate(zip(items, views, strict=True)) if not view.full),
        key=lambda told: told[:2],
    )
    eras = dict.fromkeys(era for _, _, era, _ in dated)
    found = {era: [view for _, _, other, view in dated if other == era] for era in eras}
    return tuple(
        Group(era=found[era][0].era, items=tuple(found[era])) for era in sorted(eras, key=lambda era: era is None)
    )


def _own_contents(
    items: Sequence[IssueItem], views: Sequence[ItemView], phrases: Phrases
) -> tuple[Mark, ...]:
    """The stories that are told in full, by date, the undated last; then how many are told in a line."""
    full = sorted(
        ((item.milestone.date.sort_key if item.milestone.date else _NEVER, place, view)
         for place, (item, view) in enumerate(zip(items, views, strict=True)) if view.full),
        key=lambda told: told[:2],
    )
    marks = [
        Mark(when=view.year or phrases.undated, title=clip(view.title, _CONTENTS_WIDTH), here=True, url=view.url,
             language=view.language)
        for _, _, view in full
    ]
    more = len(views) - len(full)
    rest = [Mark(when="", title=phrases.contents_more.format(count=more))] if more and marks else []
    return (*marks, *rest)


def nearest(milestone: Milestone) -> tuple[Card | None, Card | None]:
    """Of the related milestones the nearest before it and the nearest after it; none without a date."""
    date = milestone.date
    if date is None:
        return None, None
    dated = [(card.date.sort_key, card) for card in milestone.related if card.date is not None]
    earlier = max((pair for pair in dated if pair[0] < date.sort_key), key=lambda pair: pair[0], default=None)
    later = min((pair for pair in dated if pair[0] > date.sort_key), key=lambda pair: pair[0], default=None)
    return earlier and earlier[1], later and later[1]


def _strip(milestone: Milestone, before: Mark | None, after: Mark | None, language: str) -> tuple[Mark, ...]:
    """The neighbour before, this one, the neighbour after; () without a date or a neighbour."""
    date = milestone.date
    if date is None or (before is None and after is None):
        return ()
    title = clip(one_line(milestone.title), _CONTENTS_WIDTH)
    here = Mark(when=str(date.year), title=title, here=True, language=language)
    return tuple(mark for mark in (before, here, after) if mark)


def _neighbour(card: Card) -> Mark:
    return Mark(when=str(card.date.year) if card.date else "", title=clip(one_line(card.title), _CONTENTS_WIDTH))


def _contents(items: Sequence[IssueItem], phrases: Phrases) -> tuple[Mark, ...]:
    """The new ones by date, each between its neighbours as far as these are known; the undated and the rest last."""
    told = items[:_CONTENTS_UP_TO]
    new = [(item.milestone.date.sort_key, _mark(item.milestone)) for item in told if item.milestone.date]
    undated = [_mark(item.milestone, phrases.undated) for item in told if item.milestone.date is None]
    known = _neighbours(items, [when for when, _ in new]) if len(told) <= _NEIGHBOURS_UP_TO else []
    marks = [mark for _, mark in sorted([*new, *known], key=lambda pair: (pair[0], not pair[1].here))]
    more = len(items) - len(told)
    rest = [Mark(when="", title=phrases.contents_more.format(count=more))] if more else []
    return (*marks, *undated, *rest)


def _mark(milestone: Milestone, when: str = "") -> Mark:
    title = clip(one_line(milestone.title), _CONTENTS_WIDTH)
    return Mark(when=str(milestone.date.year) if milestone.date else when, title=title, here=True)


def _neighbours(
    items: Sequence[IssueItem], new: Sequence[tuple[int, int, int]]
) -> list[tuple[tuple[int, int, int], Mark]]:
    """Of the milestones that the new ones (their dates) name as related, the last before and the first after each."""
    keys = {item.milestone.key for item in items}
    titles = {one_line(item.milestone.title) for item in items}
    cards: dict[tuple[tuple[int, int, int], str], Card] = {}
    for card in (card for item in items for card in item.milestone.related):
        if card.date is not None and card.key not in keys and one_line(card.title) not in titles:
            cards.setdefault((card.date.sort_key, one_line(card.title)), card)
    chosen = set()
    for when in new:
        chosen.add(max((place for place in cards if place[0] < when), default=None))
        chosen.add(min((place for place in cards if place[0] > when), default=None))
    # A neighbour stands next to a new one: of several between two new ones, the nearest to either.
    return [(place[0], _neighbour(cards[place])) for place in sorted(place for place in chosen if place)]
