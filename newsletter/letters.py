"""What a letter says: a mail that is no issue, in its reader's language, and nothing in it that a stranger typed.

    kind, choice ─▶ LetterView ─▶ newsletter.issue.render.Renderer.letter
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from milepost.records import Cadence
from milepost.settings import MailSettings, NewsletterSettings
from newsletter.issue.corrections import slug_in_words
from newsletter.issue.known import Known
from newsletter.issue.safe import header, one_line, paragraphs
from newsletter.words.languages import direction
from newsletter.words.phrases import Phrases

Kind = Literal["confirm", "remind", "welcome", "move", "moved", "goodbye"]
LINK = "milepost-letter-link-0000"  # what stands for the recipient's own link; no text of ours holds it


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterView:
    """A letter as it is read."""

    kind: Kind
    name: str
    language: str
    direction: str  # "ltr" | "rtl"
    subject: str
    preheader: str
    title: str
    lines: tuple[str, ...]
    button: tuple[str, str] | None  # address and words
    by_hand: str  # before the address of the button in full, or ""
    after: tuple[str, ...]  # below the button
    links: tuple[tuple[str, str], ...]  # address and words, at the foot
    postal_address: tuple[str, ...]
    placeholder: str


def about(phrases: Phrases, topics: Sequence[str], labels: Mapping[str, str]) -> str:
    """A choice of topics in words: "about everything"; `labels`: slug → what it is called."""
    if not topics:
        return phrases.about_everything
    return phrases.about_these.format(topics=", ".join(
        slug_in_words(topic, phrases, Known(labels=labels)) for topic in topics
    ))


def letter_view(
    kind: Kind, *, cadence: Cadence, topics: Sequence[str] = (), newsletter: NewsletterSettings, mail: MailSettings,
    phrases: Phrases, latest: str | None = None, preferences: str = "", undo_until: dt.date | None = None,
) -> LetterView:
    """Make the view of a letter; `latest`: the address of the last issue, `preferences`: what follows `LINK` in that
    of the page of a reader's choice; `undo_until`: the last day on which who left comes back by the
    link: a goodbye needs it.
    """
    name, rhythm = one_line(newsletter.name), phrases.rhythms[cadence]
    if kind == "move" or kind == "moved":
        return _address_view(kind, name=name, newsletter=newsletter, mail=mail, phrases=phrases)
    if kind == "goodbye" and undo_until is not None:
        return _goodbye_view(undo_until, name=name, newsletter=newsletter, mail=mail, phrases=phrases)
    if kind == "welcome":
        said = phrases.welcome_hint.format(name=name, rhythm=rhythm, about=about(phrases, topics, newsletter.labels))
        return LetterView(
            kind=kind, name=name, language=newsletter.language, direction=direction(newsletter.language),
            subject=header(phrases.letter_welcome.format(name=name)), preheader=said, title=phrases.welcome,
            lines=(said,), button=(latest, phrases.read_latest) if latest else None, by_hand="",
            after=(phrases.no_tracking,),
            links=((f"{LINK}{preferences}", phrases.preferences), (LINK, phrases.unsubscribe)),
            postal_address=paragraphs(mail.postal_address), placeholder=LINK,
        )
    first = kind == "confirm"
    asked = (phrases.letter_asked if first else phrases.letter_reminded).format(name=name, rhythm=rhythm)
    subject = (phrases.letter_confirm if first else phrases.letter_remind).format(name=name)
    return LetterView(
        kind=kind, name=name, language=newsletter.language, direction=direction(newsletter.language),
        subject=header(subject), preheader=phrases.letter_confirm_preheader,
        title=phrases.confirm.format(name=name), lines=(asked,), button=(LINK, phrases.confirm_press),
        by_hand=phrases.letter_by_hand, after=(phrases.letter_not_you if first else phrases.letter_not_you_either,
                                               phrases.no_tracking),
        links=(), postal_address=paragraphs(mail.postal_address), placeholder=LINK,
    )


def _address_view(
    kind: Literal["move", "moved"], *, name: str, newsletter: NewsletterSettings, mail: MailSettings, phrases: Phrases
) -> LetterView:
    """Of a change of address: to the new one, which has to confirm it, and to the old one, which may undo it.

    Neither is named to the other: the old mailbox may be a former employer's.
    """
    asks = kind == "move"
    said = (phrases.letter_move_said if asks else phrases.letter_moved_said).format(name=name)
    return LetterView(
        kind=kind, name=name, language=newsletter.language, direction=direction(newsletter.language),
        subject=header((phrases.letter_move if asks else phrases.letter_moved).format(name=name)), preheader=said,
        title=phrases.move_confirm.format(name=name) if asks else phrases.move_undo, lines=(said,),
        button=(LINK, phrases.move_confirm_press if asks else phrases.move_undo_press),
        by_hand=phrases.letter_by_hand,
        after=(phrases.letter_move_not_you if asks else phrases.letter_moved_was_you, phrases.no_tracking),
        links=(), postal_address=paragraphs(mail.postal_address), placeholder=LINK,
    )


def _goodbye_view(
    undo_until: dt.date, *, name: str, newsletter: NewsletterSettings, mail: MailSettings, phrases: Phrases
) -> LetterView:
    """A receipt, and the last mail: that they have left, that nothing follows, and the way back."""
    said = phrases.letter_goodbye_said.format(name=name)
    return LetterView(
        kind="goodbye", name=name, language=newsletter.language, direction=direction(newsletter.language),
        subject=header(phrases.letter_goodbye.format(name=name)), preheader=said, title=phrases.left, lines=(said,),
        button=None, by_hand="",
        after=(phrases.no_tracking, phrases.letter_goodbye_undo.format(day=phrases.plain_day(undo_until))),
        links=((LINK, phrases.undo_press),),
        postal_address=paragraphs(mail.postal_address), placeholder=LINK,
    )
