"""Orders an issue's milestones and words its subject line; what an approval names is hashed here too."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from milepost.codec import json_hash
from milepost.fingerprint import hashed_record
from milepost.records import UNEDITED, Edit, IssueItem, Milestone, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.corrections import by_milestone, tally
from newsletter.issue.design import FIRST, TODAY
from newsletter.issue.known import NOTHING_KNOWN, Known
from newsletter.issue.safe import clip, cut, header, one_line, prose_line, subject_line
from newsletter.words.phrases import ENGLISH, Phrases

SUBJECT_WIDTH = 60  # about what an inbox shows of one
_LONE_WIDTH = 78  # of a single title that can't be told shorter: RFC 5322 §2.1.1 prefers lines of at most 78 characters
_HEAD = re.compile(r"(?:[:;]\s|\s[–—|(-])\s?")  # where a title may end early; a comma is too often a list's
_SHORTEST_HEAD = 5  # characters
_PREHEADER_WIDTH = 110  # about what inboxes show beside a subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """An issue before it is rendered."""

    items: tuple[IssueItem, ...]  # in reading order; the first is the lead
    subject: str  # one line without encoded words
    preheader: str  # one line, shown beside the subject by most inboxes
    intro: str = ""  # Markdown


def compose(
    items: Sequence[IssueItem], *, phrases: Phrases = ENGLISH, edit: Edit = UNEDITED, as_ordered: bool = False,
    design: int = TODAY,
) -> Draft:
    """Order the items and word the subject; raises ValueError when there are none.

    `edit`: its subject and preheader go before ours. `as_ordered`: somebody else chose the order; only news still comes
    first.
    """
    if not items:
        raise ValueError("an issue of nothing: there are no items")
    ordered = tuple(sorted(items, key=(lambda item: item.role == "correction") if as_ordered else _rank))
    worded, line = (_subject, subject_line) if design > FIRST else (_first_subject, header)
    return Draft(
        items=ordered, subject=line(edit.subject) or worded(ordered, phrases), intro=edit.intro,
        preheader=one_line(edit.preheader) or _preheader(ordered, phrases, design),
    )


def headline(milestone: Milestone, phrases: Phrases) -> str:
    """The title on one line; of a milestone without one its first words, or what says that it has none."""
    told = one_line(milestone.title)
    return told or clip(prose_line(milestone.what_happened or milestone.why_it_mattered), 88) or phrases.untitled


def content_hash(
    items: Sequence[IssueItem], variants: Iterable[Variant], *, shown: Mapping[str, object], templates: str,
    list_id: str | None = None, edit: Edit = UNEDITED, owed: Sequence[IssueItem] = (),
) -> str:
    """SHA-256, in hex, of all that readers will get: items, settings, templates (their digest), rendered parts.

    A variant that is made when the issue is sealed is made of these alone, so that the hash binds it too. `owed`: what
    the issue carries of earlier ones; without any it hashes as it did before there were such.

    `shown`: see shown_settings. `list_id`: the list's own name; None for an issue from before it was part of this.
    Keys and passwords are not part of it. Equal issues hash equally whatever the order of `variants`; of each, which
    are gone through once, no more than its digests is kept.
    """
    named = {} if list_id is None else {"list_id": list_id}
    return json_hash(named | {
        "inputs": inputs_hash(items, shown=shown, edit=edit, owed=owed),
        "templates": templates,
        "variants": sorted((
            [variant.name, variant.subject, _digest(variant.html), _digest(variant.text), variant.placeholder]
            for variant in variants
        ), key=lambda parts: parts[0]),
    })


def inputs_hash(
    items: Sequence[IssueItem], *, shown: Mapping[str, object], edit: Edit = UNEDITED, owed: Sequence[IssueItem] = ()
) -> str:
    """SHA-256, in hex, of the items, of what an editor wrote, and of the settings that show in a mail."""
    return json_hash(({"owed": _hashed(owed)} if owed else {}) | {
        "items": _hashed(items),
        "edit": [edit.subject, edit.intro, *filter(None, [edit.preheader])],
        "settings": shown,
    })


def _hashed(items: Sequence[IssueItem]) -> list[object]:
    return [
        [item.change_id, item.version_id, item.role, item.first_seen_at.isoformat(), hashed_record(item.milestone),
         [list(change) for change in item.fields]]
        for item in items
    ]


def shown_settings(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, *, known: Known = NOTHING_KNOWN,
    design: int = TODAY,
) -> dict[str, object]:
    """The settings that show in a mail or its headers, in JSON's types: `settings_from` makes settings of them again.

    Those that came later are there only where they are set, so that what was hashed without them hashes the same today.
    """
    shown = {"name", "tagline", "timezone", "language", "accent", "images", "logo", "logo_alt", "logo_width", "font",
             "label_font"}
    head: dict[str, object] = {
        "from": mail.sender, "reply_to": mail.reply_to, "postal_address": mail.postal_address,
    }
    if mail.feedback_id is not None:
        head["feedback_id"] = mail.feedback_id
    if mail.bounce_domain is not None:
        head["bounce_domain"] = mail.bounce_domain  # where a mail takes a reader off the list
    page: dict[str, object] = {"base_url": web.base_url}
    if web.signup:
        page["signup"] = True
    later: dict[str, object] = {"design": design} if design > FIRST else {}
    if sites := known.to_json():
        later["known"] = sites
    return {"newsletter": newsletter.model_dump(mode="json", include=shown), "mail": head, "web": page} | later


def settings_from(
    shown: Mapping[str, object], *, templates: Path | None = None
) -> tuple[NewsletterSettings, MailSettings, WebSettings]:
    """The settings of `shown_settings`, enough to render with; `templates` is not among them, only their digest is."""
    return (
        NewsletterSettings.model_validate(shown["newsletter"]).model_copy(update={"templates": templates}),
        MailSettings.model_validate(shown["mail"]),
        # An issue from before there was a sign-up has no link to it.
        WebSettings.model_validate({"signup": False} | cast("dict[str, object]", shown["web"])),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rank(item: IssueItem) -> tuple[bool, int, float, tuple[int, ...], int]:
    """News before corrections; then the highest impact, the newest on the timeline, the latest date."""
    milestone = item.milestone
    date = milestone.date.sort_key if milestone.date else (0, 0, 0)
    return (
        item.role == "correction", -(milestone.impact or 0), -item.first_seen_at.timestamp(),
        tuple(-part for part in date), item.change_id,
    )


def _subject(items: Sequence[IssueItem], phrases: Phrases) -> str:
    """The lead's title, then how many more there are; as much of both as an inbox shows."""
    news, corrections = tally(items)
    count = news or corrections
    frame = "{title}" if news else phrases.one_correction
    match news, corrections:
        case 1, 1:
            more = phrases.and_a_correction
        case 1, _ if corrections:
            more = phrases.and_more_corrections
        case _ if count == 1:
            more = "{title}"
        case _:
            more = phrases.and_one_more if count == 2 else phrases.and_more
    title = subject_line(headline(items[0].milestone, phrases)) or phrases.untitled

    def worded(told: str, form: str) -> str:
        return subject_line(frame.format(title=form.format(title=told, rest=count - 1 if count > 1 else corrections)))

    end = _HEAD.search(title, _SHORTEST_HEAD)
    heads = [title[: end.start()].rstrip()] if end else []
    found = [worded(told, form) for form in (more, "{title}") for told in (title, *heads)]
    fitting = [subject for subject in found if len(subject) <= SUBJECT_WIDTH]
    if fitting:
        return fitting[0]
    if more == "{title}" and len(whole := worded(title, more)) <= _LONE_WIDTH:
        return whole
    return worded(cut(title, SUBJECT_WIDTH - len(worded("", more))), more)


def _first_subject(items: Sequence[IssueItem], phrases: Phrases) -> str:
    """The subject of an issue of the first design."""
    news, corrections = tally(items)
    match news, corrections:
        case 1, 0:
            form = "{title}"
        case 0, 1:
            form = phrases.one_correction
        case 1, 1:
            form = phrases.and_a_correction
        case (2, 0) | (0, 2):
            form = phrases.and_one_more if news else phrases.one_correction.format(title=phrases.and_one_more)
        case 0, _:
            form = phrases.many_corrections
        case 1, _:
            form = phrases.and_more_corrections
        case _:
            form = phrases.many_news
    count = news or corrections
    frame = len(form.format(title="", count=count, rest=corrections))
    title = clip(header(items[0].milestone.title), _LONE_WIDTH - frame)
    if title.endswith("…"):
        form = form.replace("{title}, …", "{title}")  # one ellipsis says it
    return header(form.format(title=title, count=count, rest=corrections))


def _preheader(items: Sequence[IssueItem], phrases: Phrases, design: int) -> str:
    """The other titles, or the first words of the only one."""
    first, *others = [item for item in items if item.role == "news"] + [group[-1] for group in by_milestone(items)]
    if others:
        titles = ", ".join(
            headline(item.milestone, phrases) if design > FIRST else one_line(item.milestone.title) for item in others
        )
        return clip(phrases.also.format(titles=titles), _PREHEADER_WIDTH)
    milestone = first.milestone
    return clip(prose_line(milestone.what_happened or milestone.why_it_mattered), _PREHEADER_WIDTH)
