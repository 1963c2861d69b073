"""An issue that is too long for a mail program is told in brief, never cut."""

import datetime as dt
from collections.abc import Callable

import pytest

from milepost.errors import RenderError
from milepost.records import IssueItem
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.compose import compose
from newsletter.issue.render import HTML_LIMIT, Renderer
from newsletter.issue.view import IssueView, Made, Plan, issue_view
from tests.newsletter.reading import findings, shown

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("count", "length"),
    [
        pytest.param(8, 20_000, id="long stories"),
        pytest.param(120, 200, id="many items"),
        pytest.param(900, 2_000, id="very many items"),
        pytest.param(1, 300_000, id="one endless story"),
    ],
)
def test_an_issue_that_is_too_long_is_shortened_and_links_to_the_rest(
    renderer: Renderer, make_item: ItemMaker, count: int, length: int
) -> None:
    story = "tick tock " * (length // 10)
    items = [
        make_item(n, key=f"m{n}", what_happened=story, first_seen_at=NOW - dt.timedelta(minutes=n), impact=4)
        for n in range(1, count + 1)
    ]

    variant = renderer.render(12, "weekly", items, NOW)

    assert len(variant.html) <= HTML_LIMIT
    assert ("Read the rest on the timeline" in variant.text) == (count in (1, 900))  # no room for all of the lead
    told = [number for number in range(1, count + 1) if f"/timeline/m{number}\n" in variant.text]
    assert told == list(range(1, len(told) + 1))
    assert len(told) >= min(count, 100)
    if len(told) < count:
        assert f"{count - len(told)} more milestones are on the page of this issue." in shown(variant)[0]
    assert findings(renderer, variant, items) == []


def test_as_much_is_shown_as_fits(renderer: Renderer, make_item: ItemMaker) -> None:
    items = [make_item(n, key=f"m{n}", what_happened="tick tock " * 2_000) for n in range(1, 31)]

    variant = renderer.render(12, "weekly", items, NOW)

    assert HTML_LIMIT - 22_000 < len(variant.html) <= HTML_LIMIT
    assert variant.text.count("Read on the timeline") == 2


def test_a_mail_that_cannot_fit_is_refused(mail: MailSettings, web: WebSettings, make_item: ItemMaker) -> None:
    renderer = Renderer(NewsletterSettings(name="x" * 100_000), mail, web)

    with pytest.raises(RenderError, match=r"newsletter\.name"):
        renderer.render(1, "instant", [make_item()], NOW)


def test_what_one_plan_made_of_a_story_is_not_made_again_by_the_next(renderer: Renderer, make_item: ItemMaker) -> None:
    """Long issues are made some ten times until they fit: the words of a story are read once in full, once in brief."""
    items = [make_item(n, key=f"m{n}") for n in range(1, 4)] + [make_item(n, role="correction") for n in (4, 5)]
    draft, made = compose(items), Made()

    def view(plan: Plan) -> IssueView:
        return issue_view(
            draft, number=1, cadence="weekly", sequence=None, day="", plan=plan, placeholder="p", made=made,
            newsletter=renderer.newsletter, mail=renderer.mail, web=renderer.web, phrases=renderer.phrases,
        )

    first, shorter = view(Plan(full=3, brief=0, corrections=2)), view(Plan(full=2, brief=1, corrections=1))

    assert shorter.lead is first.lead
    assert [one.full for one in first.news] == [True, True]
    assert [one.full for one in shorter.news] == [True, False]
    assert shorter.news[0] is first.news[0]
    assert [one.milestone_id for one in first.corrections] == [4, 5]
    assert shorter.corrections == first.corrections[:1]
    assert view(Plan(full=1, brief=2, corrections=2)).news[1] is shorter.news[1]
