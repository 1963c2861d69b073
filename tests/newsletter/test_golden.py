"""Whole messages, byte for byte, with a fixed clock and key: what a change of template or library changes is seen.

Run with MILEPOST_GOLDEN=write to write them anew after a change that is meant.
"""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from email.utils import parseaddr
from pathlib import Path

import pytest

from delivery.message.build import Letterhead, MessageTemplate
from delivery.message.headers import Mailbox
from delivery.message.tokens import message_id
from milepost.records import Card, Edit, FieldChange, IssueItem
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.design import FIRST, LINES, TODAY
from newsletter.issue.render import Renderer
from tests.newsletter.conftest import NEIGHBOURS

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
KEY = "an-invented-key-of-thirty-two-characters"
TOKEN = "AQEHbmV3cy50aW1la2VlcGluZy5leGFtcGxlLm9yZxD-5XWoXloroIbEe8EuzWw"
FOLDER = Path(__file__).with_name("golden")


def items_of(name: str, make_item: ItemMaker) -> list[IssueItem]:
    related: tuple[Card, ...] = NEIGHBOURS
    wrong = replace(
        make_item(3, role="correction"), corrected_at=NOW,
        fields=(FieldChange("date", "corrected", {"value": "1759", "precision": "year", "confirmed": True},
                            {"value": "1761-11", "precision": "month", "confirmed": True}),),
    )
    return {
        "one": [make_item(1, related=related)],
        "eight": [make_item(number) for number in range(1, 9)],
        "corrections": [wrong],
        "german": [make_item(1, related=related), make_item(2), wrong],
    }[name]


@pytest.mark.parametrize(("design", "folder"), [(TODAY, ""), (LINES, "lines"), (FIRST, "first")])
@pytest.mark.parametrize("name", ["one", "eight", "corrections", "german"])
def test_the_message_is_the_one_we_know(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, name: str,
    design: int, folder: str,
) -> None:
    """Those of an earlier design are never written anew: issues of it were sealed."""
    letter = newsletter.model_copy(update={"language": "de"}) if name == "german" else newsletter
    edit = Edit(intro="Guten **Morgen**,\n\nheute [zwei Uhren](https://timekeeping.example.org/).")
    variant = Renderer(letter, mail, web, design=design).render(
        12, "weekly", items_of(name, make_item), NOW, edit=edit if name == "german" else Edit()
    )
    head = Letterhead(sender=Mailbox(*parseaddr(mail.sender)), list_id="news.timekeeping.example.org",
                      list_name=letter.name, archive=f"{web.base_url}/issues")

    message = MessageTemplate.build(variant, letterhead=head, date=NOW).bytes_for(
        address="reader@readers.example.org",
        unsubscribe_url=f"{web.base_url}/u/{TOKEN}",
        message_id=message_id(KEY, issue=12, reader=7, domain="timekeeping.example.org"),
    )

    golden = FOLDER / folder / f"{name}.eml"
    if not folder and os.environ.get("MILEPOST_GOLDEN") == "write":
        golden.write_bytes(message)
    assert message == golden.read_bytes()
