"""Composing and rendering one issue of eight milestones for a thousand topic choices.

    python -m bench.render [--choices 1000]

Prints how many variants that makes (as many as there are distinct sets of milestones) and what each costs.
"""

import argparse
import datetime as dt
import random
import time

from milepost.dates import PartialDate
from milepost.records import NOBODY, IssueItem, Milestone
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.compose import compose
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer
from newsletter.news.select import offered, variants

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
TOPICS = tuple(f"topic-{number}" for number in range(24))
STORY = "Somebody hung a weight on a string, let it swing, and counted. It kept better time than the sun. " * 3


def issue_of(count: int) -> list[IssueItem]:
    """So many milestones of the usual length, each with a category and four tags."""
    return [
        IssueItem(
            change_id=number, milestone_id=number, version_id=number, role="news", first_seen_at=NOW,
            milestone=Milestone(
                source="bench", key=f"m{number}", url=f"https://bench.example/m{number}", title=f"Milestone {number}",
                date=PartialDate.of(1900 + number), category=TOPICS[number % len(TOPICS)], impact=1 + number % 5,
                what_happened=STORY, why_it_mattered=STORY[:200], people=("Ada Invented", "Grace Made-Up"),
                organizations=("Invented Laboratories",),
                tags=tuple(TOPICS[(number * step + 7) % len(TOPICS)] for step in (3, 5, 7, 11)),
            ),
        )
        for number in range(1, count + 1)
    ]


def main() -> None:
    """Measure and print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--choices", type=int, default=1000)
    count: int = given.parse_known_args()[0].choices
    chance = random.Random(2026)  # noqa: S311 - a repeatable bench
    choices = [frozenset(chance.sample(TOPICS, chance.randint(0, 5))) for _ in range(count)]
    letter, mail = NewsletterSettings(name="Bench"), MailSettings(postal_address="1 Example Street, Exampletown")
    web = WebSettings(base_url="https://news.bench.example")
    renderer = Renderer(letter, mail, web)
    items = issue_of(8)
    renderer.render(1, "weekly", items, NOW)  # the first one compiles the templates

    start = time.perf_counter()
    ordered = compose(items).items
    named = variants(ordered, [(topics, NOBODY) for topics in choices])
    chosen = time.perf_counter()
    made = [renderer.render(1, "weekly", some, NOW, name=name, as_ordered=True) for name, some in named.items()]
    rendered = time.perf_counter()
    for variant, some in zip(made, named.values(), strict=True):
        assert lint(variant, newsletter=letter, mail=mail, web=web, items=some) == []
    linted = time.perf_counter()

    distinct = {tuple(item.change_id for item in offered(ordered, topics)) for topics in choices} - {()}
    distinct.add(tuple(item.change_id for item in ordered))
    assert len(named) == len(distinct)
    assert len({variant.html for variant in made}) == len(made)
    print(f"choices {count}, distinct topic sets {len(set(choices))}")
    print(f"variants rendered {len(made)} = distinct sets of milestones {len(distinct)}")
    print(f"choosing {(chosen - start) * 1000:.0f} ms in all")
    print(f"rendering {(rendered - chosen) * 1000 / len(made):.2f} ms a variant, both parts")
    print(f"lint {(linted - rendered) * 1000 / len(made):.2f} ms a variant")
    print(f"HTML {max(len(variant.html) for variant in made)} bytes the longest")


if __name__ == "__main__":
    main()
