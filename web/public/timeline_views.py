"""What the timeline's templates see: plain strings in reading order, every decision about them already made.

    places, records ─▶ Group (an era) ─▶ Line        pipeline.timeline.Story ─▶ StoryView (facts, steps, readings)
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from markupsafe import Markup

from milepost.codec import field_to_json
from milepost.fields import shown_at
from milepost.records import Amended, Milestone, Witness
from milepost.settings import Settings
from newsletter.issue.bidi import lang_and_dir
from newsletter.issue.corrections import FieldView, amendment_view, in_words, slug_in_words
from newsletter.issue.known import Known
from newsletter.issue.prose import Prose, as_lines, prose
from newsletter.issue.safe import clip, link, one_line
from newsletter.issue.summary import first_sentence
from newsletter.words.phrases import Phrases
from pipeline.timeline import Changed, Place, Reading, Record, Step, Story, ToldIn

TITLE_WIDTH = 300  # characters of a title in a list, in a head or on a picture; a milestone's own page shows all of it


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A site's words, and the attributes that say in which language they are and how they are read."""

    text: str
    lang_and_dir: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A milestone in a list."""

    when: str
    title: Words
    url: str  # its page here
    summary: Words | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """An era, or a year where there are no eras, with the milestones in it that a page shows."""

    anchor: str
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A field beside its label."""

    label: str
    words: Words
    links: tuple[tuple[str, str], ...] = ()  # of topics: words, address


@dataclass(frozen=True, kw_only=True, slots=True)
class StepView:
    """Something that happened to a milestone on record."""

    kind: str
    line: str
    at: str  # ISO 8601
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingView:
    """Where fields were read."""

    label: str  # of all that were read alike: "Title, Date"
    line: str
    page: str | None
    host: str
    disputes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoryView:
    """A milestone with all that is known of its record."""

    title: Words
    facts_line: str
    what: tuple[Prose, ...]
    why: tuple[Prose, ...]
    language: str  # of both, "" where nobody said
    facts: tuple[Fact, ...]
    withdrawn: str  # a sentence, or ""
    url: str | None  # at its site
    host: str
    steps: tuple[StepView, ...]
    readings: tuple[ReadingView, ...]
    told_in: tuple[tuple[str, str, str], ...]  # address, subject, "Weekly no. 3"
    earlier: Line | None
    later: Line | None
    summary: str  # one sentence about it, for heads and feeds


class Views:
    """Makes them; one for an application."""

    def __init__(self, settings: Settings, phrases: Phrases, *, base: str) -> None:
        """`base`: what an address of ours begins with: the path on pages, all of it where they are read elsewhere."""
        self._phrases, self.base, self.timeline = phrases, base, f"{base}/timeline"
        self._zone = ZoneInfo(settings.newsletter.timezone)
        self._timezone = settings.newsletter.timezone
        self._full = settings.web.timeline == "full"
        self._labels = settings.newsletter.labels
        self._languages = {source.key: source.language or "" for source in settings.sources}

    def _known(self, record: Record) -> Known:
        return Known(labels=self._labels, site_labels=record.labels)

    # --- lists --------------------------------------------------------------------------------------------------------

    def label(self, slug: str, record: Record) -> str:
        """What readers see a category, an era or a tag called."""
        return slug_in_words(slug, self._phrases, self._known(record))

    def group_of(self, place: Place, record: Record) -> tuple[str, str]:
        """The anchor and the title of the group that a milestone stands in."""
        if place.era:
            return f"era-{quote(place.era, safe='')}", self.label(place.era, record)
        if place.date:
            return f"year-{place.date.year}", str(place.date.year)
        return "undated", self._phrases.undated

    def line(self, place: Place, record: Record, milestone: Milestone | None) -> Line:
        """A milestone in a list, with a sentence about it where its record is given."""
        said = first_sentence(milestone.what_happened) if milestone is not None else ""
        return Line(
            when=self._phrases.date(place.date), title=self.title(place), url=self.url(place, record),
            summary=self._words(said, place.source) if said else None,
        )

    def url(self, place: Place, record: Record) -> str:
        """The address of its page."""
        return f"{self.base}/timeline/{quote(record.address[place.id])}"

    def topic_url(self, topic: str, record: Record) -> str | None:
        """The address of a topic's page, None where no present milestone has it."""
        name = record.topic_address.get(topic)
        return None if name is None else f"{self.base}/topics/{quote(name)}"

    def title(self, place: Place, *, whole: bool = False) -> Words:
        """Its title; what it is called in its address where it has none."""
        title = one_line(place.title) or self._phrases.label(one_line(place.key))
        return self._words(title if whole else clip(title, TITLE_WIDTH), place.source)

    def language(self, place: Place) -> str | None:
        """Of its source's words, None where nobody said."""
        return self._languages.get(place.source) or None

    # --- one milestone -----------------------------------------------------------------------------------------------

    def story(self, story: Story, record: Record) -> StoryView:
        """All that its page says."""
        place, milestone, phrases = story.place, story.milestone, self._phrases
        gone = [step for step in story.steps if step.kind == "withdrawn"]
        what, why = prose(milestone.what_happened), prose(milestone.why_it_mattered)
        said = first_sentence(milestone.what_happened)
        if not self._full:
            what, why = as_lines((said,) if said else ()), ()
        facts = self._facts(milestone, record)
        at_site = link(milestone.url)
        return StoryView(
            title=self.title(place, whole=True), facts_line=" · ".join(self._facts_line(milestone, record)),
            what=what, why=why, language=self._languages.get(place.source, ""), facts=facts,
            withdrawn=phrases.withdrawn_on.format(day=self._day(gone[-1].at)) if place.withdrawn and gone else
            phrases.withdrawn if place.withdrawn else "",
            url=at_site, host=_host(at_site),
            steps=tuple(filter(None, (self._step(step, record) for step in story.steps))),
            readings=self._readings(story.readings, milestone),
            told_in=tuple(map(self._told_in, story.told_in)),
            earlier=self.line(story.earlier, record, None) if story.earlier else None,
            later=self.line(story.later, record, None) if story.later else None,
            summary=said or " · ".join(self._facts_line(milestone, record)) or phrases.story_of,
        )

    def entry(self, place: Place, record: Record, milestone: Milestone) -> dict[str, object]:
        """What a feed tells of a milestone, the values of its template."""
        what, why = prose(milestone.what_happened), prose(milestone.why_it_mattered)
        said = first_sentence(milestone.what_happened)
        if not self._full:
            what, why = as_lines((said,) if said else ()), ()
        at_site = link(milestone.url)
        return {
            "facts_line": " · ".join(self._facts_line(milestone, record)),
            "what": what, "why": why, "language": self._languages.get(place.source, ""),
            "story_url": self.url(place, record), "url": at_site, "host": _host(at_site),
        }

    def fields(self, changed: Changed | Step, record: Record) -> tuple[FieldView, ...]:
        """What a change changed: old and new."""
        view = amendment_view(
            Amended(fields=changed.fields, corrected_at=changed.at), phrases=self._phrases, timezone=self._timezone,
            issue_url=str, known=self._known(record),
        )
        return view.fields if view is not None else ()

    def happened(self, kind: str, at: dt.datetime) -> str:
        """What happened, and when: "Corrected on 13 April 2026"."""
        forms = {
            "first_seen": self._phrases.first_seen, "corrected": self._phrases.corrected_on,
            "enriched": self._phrases.completed_on, "reread": self._phrases.reread_on,
            "withdrawn": self._phrases.withdrawn_on, "restored": self._phrases.restored_on,
            "renamed": self._phrases.moved_on,
        }
        return forms[kind].format(day=self._day(at))

    def _step(self, step: Step, record: Record) -> StepView | None:
        fields = self.fields(step, record) if step.fields else ()
        if not fields and step.kind in ("corrected", "enriched", "reread"):
            return None  # nothing that a reader would see
        at = step.at.isoformat(timespec="seconds")
        return StepView(kind=step.kind, line=self.happened(step.kind, step.at), at=at, fields=fields)

    def _facts_line(self, milestone: Milestone, record: Record) -> list[str]:
        phrases = self._phrases
        known = self._known(record)
        forms = {"era": phrases.era, "impact": phrases.impact}
        told = [phrases.date(milestone.date)]
        for name in shown_at("facts"):
            words = "" if name == "date" else in_words(name, field_to_json(milestone, name), phrases, known)
            form = "{words}" if name == "era" and known.has_word_for(milestone.era) else forms.get(name, "{words}")
            if words:
                told.append(form.format(words=words, era=words, impact=milestone.impact))
        return [words for words in told if words]

    def _facts(self, milestone: Milestone, record: Record) -> tuple[Fact, ...]:
        found = []
        for name in (*shown_at("row"), "tags"):
            words = in_words(name, field_to_json(milestone, name), self._phrases, self._known(record))
            if not words:
                continue
            links = tuple(
                (self.label(topic, record), url) for topic in milestone.tags
                if (url := self.topic_url(topic, record))
            ) if name == "tags" else ()
            found.append(Fact(label=self._phrases.field(name), words=self._words(words, milestone.source), links=links))
        return tuple(found)

    def _readings(self, readings: Sequence[Reading], milestone: Milestone) -> tuple[ReadingView, ...]:
        """Those that say the same together, in the order of the first of each."""
        alike: dict[ReadingView, list[str]] = {}
        for reading in readings:
            view = self._reading(reading, milestone)
            alike.setdefault(replace(view, label=""), []).append(view.label)
        return tuple(replace(view, label=", ".join(labels)) for view, labels in alike.items())

    def _reading(self, reading: Reading, milestone: Milestone) -> ReadingView:
        phrases, day = self._phrases, self._day(reading.at)
        page = link(reading.page)
        heard = [one for one in reading.witnesses if one.says is None]
        places = list(dict.fromkeys(map(self._place, heard or reading.witnesses)))
        line = phrases.imported_on.format(day=day) if reading.page is None else phrases.read_by.format(
            place=", ".join(places) or _host(page) or milestone.source, day=day
        )
        others = (clip(one_line(one.says), 200) for one in reading.witnesses if one.says)
        disputes = [phrases.disputed.format(says=says) for says in others]
        return ReadingView(label=phrases.field(reading.field), line=line, page=page, host=_host(page),
                           disputes=tuple(dict.fromkeys(disputes)))

    def _place(self, witness: Witness) -> str:
        return self._phrases.places_read.get(witness.witness, one_line(witness.witness))

    def _told_in(self, told: ToldIn) -> tuple[str, str, str]:
        label = self._phrases.numbered_issue(told.number, told.cadence, told.sequence)
        return f"{self.base}/issues/{told.number}", one_line(told.subject), label

    def _words(self, text: str, source: str) -> Words:
        return Words(text=text, lang_and_dir=lang_and_dir(text, self._languages.get(source, "")))

    def _day(self, moment: dt.datetime) -> str:
        return self._phrases.plain_day(moment.astimezone(self._zone).date())


def groups(
    views: Views, places: Sequence[Place], record: Record, records: Mapping[int, Milestone]
) -> tuple[Group, ...]:
    """The places, in their order, under the title of what they stand in."""
    found: dict[tuple[str, str], list[Line]] = {}
    for place in places:
        found.setdefault(views.group_of(place, record), []).append(views.line(place, record, records.get(place.id)))
    return tuple(Group(anchor=anchor, title=title, lines=tuple(lines)) for (anchor, title), lines in found.items())


def _host(url: str | None) -> str:
    return urlsplit(url).hostname or "" if url else ""
