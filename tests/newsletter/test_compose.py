"""The order of an issue, its subject line, and the hash that an approval names."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from milepost.dates import PartialDate
from milepost.records import Edit, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.compose import compose, content_hash, settings_from, shown_settings

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


def test_the_order_is_news_then_impact_then_newness_then_date(make_item: ItemMaker) -> None:
    older = NOW - dt.timedelta(days=2)
    items = [
        make_item(1, impact=5, role="correction", key="correction"),
        make_item(2, impact=3, key="low"),
        make_item(3, impact=5, first_seen_at=older, key="older"),
        make_item(4, impact=5, first_seen_at=NOW, date=PartialDate(value="1700"), key="earlier-date"),
        make_item(5, impact=5, first_seen_at=NOW, date=PartialDate(value="1800-01"), key="later-date"),
        make_item(6, impact=None, date=None, key="unrated"),
    ]

    for arrangement in (items, items[::-1]):
        assert [item.milestone.key for item in compose(arrangement).items] == [
            "later-date", "earlier-date", "older", "low", "unrated", "correction",
        ]


@pytest.mark.parametrize(
    ("roles", "subject"),
    [
        pytest.param("n", "A Clock", id="one"),
        pytest.param("nn", "A Clock, and one more", id="two"),
        pytest.param("nnn", "A Clock, and 2 more", id="three"),
        pytest.param("c", "Correction: A Clock", id="a correction"),
        pytest.param("cc", "Correction: A Clock, and one more", id="two corrections"),
        pytest.param("ccc", "Correction: A Clock, and 2 more", id="three corrections"),
        pytest.param("nc", "A Clock, and a correction", id="one and a correction"),
        pytest.param("ncc", "A Clock, and 2 corrections", id="one and two corrections"),
        pytest.param("nnnc", "A Clock, and 2 more", id="corrections are not counted as news"),
    ],
)
def test_the_subject_says_what_is_inside(make_item: ItemMaker, roles: str, subject: str) -> None:
    items = [
        make_item(n, title="A Clock", role="news" if role == "n" else "correction") for n, role in enumerate(roles, 1)
    ]

    assert compose(items).subject == subject


@pytest.mark.parametrize("count", [1, 2, 8, 1000])
@pytest.mark.parametrize(
    "title", ["A title of many words " * 20, "x" * 500, "é" * 200], ids=["words", "one word", "accents"]
)
def test_a_long_title_is_cut_to_a_preferred_line(make_item: ItemMaker, count: int, title: str) -> None:
    subject = compose([make_item(n, title=title) for n in range(1, count + 1)]).subject

    assert len(subject) <= 60
    assert subject.count("…") == 1
    assert subject.endswith("…") == (count == 1)  # what is told after it does not hang from it


NOON = "Every Town on the Line Now Keeps the Same Noon as Its"


@pytest.mark.parametrize(
    ("count", "title", "subject"),
    [
        (3, "Twelve Nations Choose a Line", "Twelve Nations Choose a Line, and 2 more"),
        (3, "Every Town Keeps Its Noon: How Two Railways Ended That", "Every Town Keeps Its Noon, and 2 more"),
        (3, f"{NOON} Port", f"{NOON} Port"),
        (1, f"{NOON} Capital Port", f"{NOON} Capital Port"),
        (1, "The Second, Redefined: Nine Thousand Million Beats of a Caesium Atom", "The Second, Redefined"),
        (1, "", "Christiaan Huygens hung a swinging weight in a clock and…"),
    ],
)
def test_a_title_is_told_whole_or_up_to_where_it_may_end(
    make_item: ItemMaker, count: int, title: str, subject: str
) -> None:
    assert compose([make_item(n, key=f"m{n}") if n > 1 else make_item(1, title=title)
                    for n in range(1, count + 1)], as_ordered=True).subject == subject


def test_a_milestone_that_says_nothing_is_told_all_the_same(make_item: ItemMaker) -> None:
    assert compose([make_item(title="\u202e", what_happened="", why_it_mattered="")]).subject == (
        "A milestone without a title"
    )


@pytest.mark.parametrize("sign", ["👩🏽‍🔬", "🇳🇱", "🏴‍☠️", "é"])
def test_no_sign_is_cut_in_half(make_item: ItemMaker, sign: str) -> None:
    for width in range(55, 70):
        subject = compose([make_item(title="x" * (width - 20) + sign * 300)]).subject
        told = subject.removesuffix("…")
        assert told == "x" * (width - 20) + sign * told.count(sign)


def test_an_editor_words_what_stands_beside_the_subject(
    make_item: ItemMaker, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> None:
    items = [make_item(n) for n in range(1, 4)]
    edit = Edit(preheader="Three ways to\nkeep a beat")
    assert compose(items, edit=edit).preheader == "Three ways to keep a beat"
    shown = shown_settings(newsletter, mail, web)
    hashes = {content_hash(items, [], shown=shown, templates="t", edit=one) for one in (Edit(), edit)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        pytest.param("A\r\nBcc: all@example.org", "A Bcc: all@example.org", id="CRLF"),
        pytest.param("A\vB\fC\x85D\u2028E\u2029F", "A B C D E F", id="VT FF NEL LS PS"),
        pytest.param("=?utf-8?q?A=0D=0ABcc:_x?=", "= ?utf-8?q?A=0D=0ABcc:_x?=", id="encoded word"),
        pytest.param("==?=?x", "== ?= ?x", id="encoded words nested"),
        pytest.param("A\x00B\x1b[31mC\x7f", "AB[31mC", id="controls"),
        pytest.param("A\u202egnp.exe", "Agnp.exe", id="right-to-left override"),
        pytest.param("{title} {0} {count.__class__}", "{title} {0} {count.__class__}", id="format fields"),
        pytest.param("A \ud800 B", "A B", id="lone surrogate"),
    ],
)
def test_the_subject_is_one_harmless_line(make_item: ItemMaker, title: str, subject: str) -> None:
    assert compose([make_item(title=title)]).subject == subject


def test_the_preheader_adds_to_the_subject(make_item: ItemMaker) -> None:
    items = [make_item(n) for n in range(1, 4)]

    assert compose(items[:1]).preheader.startswith("Christiaan Huygens hung")
    assert compose(items).preheader == "Also: H4: Longitude in a Pocket, A Spring to Balance the Watch"


def test_an_issue_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        compose([])


def test_the_content_hash_names_all_that_readers_get_and_nothing_else(
    make_item: ItemMaker, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> None:
    items = [make_item(1), make_item(2)]
    parts = [
        Variant(name=name, subject="S", html=f"<p>{name}</p>", text=name, placeholder="milepost-link-0")
        for name in ("all", "few")
    ]

    def digest(
        items: list[IssueItem] = items, parts: list[Variant] = parts, newsletter: NewsletterSettings = newsletter,
        mail: MailSettings = mail, web: WebSettings = web, templates: str = "t", list_id: str | None = "a.example",
    ) -> str:
        shown = shown_settings(newsletter, mail, web)
        return content_hash(items, parts, shown=shown, templates=templates, list_id=list_id)

    same = [
        digest(parts=parts[::-1]),
        digest(mail=mail.model_copy(update={"timeout": 5.0})),
        digest(web=WebSettings(base_url=web.base_url, signing_key="k" * 40)),  # type: ignore[arg-type]
        digest(items=[replace(item, milestone=replace(item.milestone, evidence={"title": ()})) for item in items]),
    ]
    others = [
        digest(items=items[::-1]),
        digest(items=[items[0], replace(items[1], version_id=9)]),
        digest(items=[make_item(1, title="Another"), items[1]]),
        digest(parts=parts[:1]),
        digest(parts=[parts[0], replace(parts[1], html="<p>few!</p>")]),
        digest(parts=[parts[0], replace(parts[1], text="few!")]),
        digest(parts=[replace(parts[0], subject="T"), parts[1]]),
        digest(newsletter=newsletter.model_copy(update={"name": "Another"})),
        digest(mail=mail.model_copy(update={"postal_address": "Elsewhere"})),
        digest(web=WebSettings(base_url="https://elsewhere.example.org")),
        digest(mail=mail.model_copy(update={"sender": "Another <another@example.org>"})),
        digest(mail=mail.model_copy(update={"reply_to": "editor@example.org"})),
        digest(mail=mail.model_copy(update={"feedback_id": "campaign:sender"})),
        digest(templates="u"),
        digest(list_id="b.example"),
        digest(list_id=None),
    ]
    assert set(same) == {digest()}
    assert len({digest(), *others}) == len(others) + 1


def test_the_settings_that_show_survive_being_kept(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> None:
    head = mail.model_copy(update={"reply_to": "editor@example.org", "feedback_id": "campaign:sender"})

    again = settings_from(json.loads(json.dumps(shown_settings(newsletter, head, web))))

    assert shown_settings(*again) == shown_settings(newsletter, head, web)
    assert (again[1].sender, again[1].feedback_id) == (mail.sender, "campaign:sender")


def test_an_issue_from_before_there_was_a_sign_up_links_to_none(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings
) -> None:
    shown = shown_settings(newsletter, mail, web)
    assert settings_from(shown)[2].signup
    off = shown_settings(newsletter, mail, web.model_copy(update={"signup": False}))
    assert off == shown | {"web": {"base_url": web.base_url}}  # as it was hashed then
    assert not settings_from(off)[2].signup


def test_the_hash_is_what_it_was_when_all_variants_were_there_at_once() -> None:
    """An approval names it: of issues that wait for one, too. The variants are gone through once, in any order."""
    parts = [
        Variant(name=name, subject=f"S {name}", html=f"<p>{name} &#8212; </p>", text=f"{name} ü\n",
                placeholder="milepost-link-0")
        for name in ("all", "0f3", "all.de", "9ab", "b77")
    ]
    for order in (parts, parts[::-1]):
        hashed = content_hash(
            [], iter(order), shown={"newsletter": {"name": "Grüße"}}, templates="t", list_id="a.example"
        )
        assert hashed == "cbe7fdbd88bc8d3e60c0cde3fc897ce8c1bd3ea56eb1c70b95cf400fab9ad5fc"
