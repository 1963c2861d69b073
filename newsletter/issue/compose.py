"""Orders an issue's milestones and words its subject line; what an approval names is hashed here too."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from milepost.codec import json_hash
from milepost.fingerprint import hashed_record
from milepost.records import UNEDITED, Edit, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.corrections import by_milestone, tally
from newsletter.issue.safe import clip, header, one_line
from newsletter.words.phrases import ENGLISH, Phrases

SUBJECT_WIDTH = 78  # RFC 5322 §2.1.1 prefers lines of at most 78 characters
_PREHEADER_WIDTH = 110  # about what inboxes show beside a subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """An issue before it is rendered."""

    items: tuple[IssueItem, ...]  # in reading order; the first is the lead
    subject: str  # one line without encoded words
    preheader: str  # one line, shown beside the subject by most inboxes
    intro: str = ""  # Markdown


def compose(
    items: Sequence[IssueItem], *, phrases: Phrases = ENGLISH, edit: Edit = UNEDITED, as_ordered: bool = False
) -> Draft:
    """Order the items and word the subject; raises ValueError when there are none.

    `edit`: its subject goes before ours. `as_ordered`: somebody else chose the order; only news still comes first.
    """
    if not items:
        raise ValueError("an issue of nothing: there are no items")
    ordered = tuple(sorted(items, key=(lambda item: item.role == "correction") if as_ordered else _rank))
    return Draft(
        items=ordered, subject=header(edit.subject) or _subject(ordered, phrases), intro=edit.intro,
        preheader=_preheader(ordered, phrases),
    )


def content_hash(
    items: Sequence[IssueItem], variants: Sequence[Variant], *, shown: Mapping[str, object], templates: str,
    list_id: str | None = None, edit: Edit = UNEDITED, owed: Sequence[IssueItem] = (),
) -> str:
    """SHA-256, in hex, of all that readers will get: items, settings, templates (their digest), rendered parts.

    A variant that is made when the issue is sealed is made of these alone, so that the hash binds it too. `owed`: what
    the issue carries of earlier ones; without any it hashes as it did before there were such.

    `shown`: see shown_settings. `list_id`: the list's own name; None for an issue from before it was part of this.
    Keys and passwords are not part of it. Equal issues hash equally whatever the order of `variants`.
    """
    named = {} if list_id is None else {"list_id": list_id}
    return json_hash(named | {
        "inputs": inputs_hash(items, shown=shown, edit=edit, owed=owed),
        "templates": templates,
        "variants": [
            [variant.name, variant.subject, _digest(variant.html), _digest(variant.text), variant.placeholder]
            for variant in sorted(variants, key=lambda variant: variant.name)
        ],
    })


def inputs_hash(
    items: Sequence[IssueItem], *, shown: Mapping[str, object], edit: Edit = UNEDITED, owed: Sequence[IssueItem] = ()
) -> str:
    """SHA-256, in hex, of the items, of what an editor wrote, and of the settings that show in a mail."""
    return json_hash(({"owed": _hashed(owed)} if owed else {}) | {
        "items": _hashed(items),
        "edit": [edit.subject, edit.intro],
        "settings": shown,
    })


def _hashed(items: Sequence[IssueItem]) -> list[object]:
    return [
        [item.change_id, item.version_id, item.role, item.first_seen_at.isoformat(), hashed_record(item.milestone),
         [list(change) for change in item.fields]]
        for item in items
    ]


def shown_settings(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> dict[str, dict[str, object]]:
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
    return {"newsletter": newsletter.model_dump(mode="json", include=shown), "mail": head, "web": page}


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
    title = clip(header(items[0].milestone.title), SUBJECT_WIDTH - frame)
    if title.endswith("…"):
        form = form.replace("{title}, …", "{title}")  # one ellipsis says it
    return header(form.format(title=title, count=count, rest=corrections))


def _preheader(items: Sequence[IssueItem], phrases: Phrases) -> str:
    """The other titles, or the first words of the only one."""
    first, *others = [item for item in items if item.role == "news"] + [group[-1] for group in by_milestone(items)]
    if others:
        titles = ", ".join(one_line(item.milestone.title) for item in others)
        return clip(phrases.also.format(titles=titles), _PREHEADER_WIDTH)
    milestone = first.milestone
    return clip(one_line(milestone.what_happened or milestone.why_it_mattered), _PREHEADER_WIDTH)
