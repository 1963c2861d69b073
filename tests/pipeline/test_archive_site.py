"""The archive as files: the pages that the application would serve, complete or not there."""

import shutil
from pathlib import Path

import pytest
from lxml import etree, html

from milepost.errors import InputError, SettingsError
from milepost.settings import Settings
from newsletter.issue.design import FIRST, folder_of
from newsletter.issue.render import templates_digest, templates_folder
from pipeline.publish import rendered
from pipeline.setup import eject_templates
from store.database import Database
from store.issues.issues import Issues
from store.milestones.milestones import Milestones
from tests.html_page import strings, text_of
from web.export import build_archive, write_preview


@pytest.fixture
def published(settings: Settings, issued: None) -> Settings:  # noqa: ARG001 (it comes first)
    """Issue 1 is frozen."""
    return settings


@pytest.fixture
def issues_alone(published: Settings) -> Settings:
    """The same without a timeline, whose lists and feeds are most of what is built."""
    return published.model_copy(update={"web": published.web.model_copy(update={"timeline": "off"})})


def test_the_archive_as_files(published: Settings, database: Database, tmp_path: Path) -> None:
    out = tmp_path / "site"

    built = build_archive(published, database, out)

    written = {path.relative_to(out).as_posix() for path in built.written}
    assert {name for name in written if not name.startswith(("timeline/", "topics/", "cards/"))} == {
        "index.html", "issues/index.html", "issues/1/index.html", "feed.atom", "feed.json", "sitemap.xml", "robots.txt",
        "favicon.svg", "milestones.atom", "milestones.json", "changes.atom", "changes.json",
    }
    for stored in Milestones(database).iterate():
        key = stored.milestone.key
        assert {f"timeline/{key}/index.html", f"cards/timeline/{key}.png"} <= written
    assert {"timeline/index.html", "cards/site.png", "cards/issue-1.png", "topics/standards/milestones.atom"} <= written
    page = html.fromstring((out / "issues/1/index.html").read_text(encoding="utf-8"))
    for item in Issues(database).get(1).items:
        assert item.milestone.why_it_mattered in text_of(page)
    assert "<form" not in (out / "timeline/index.html").read_text(encoding="utf-8")  # nobody answers a search of files
    for name in ("index.html", "issues/1/index.html", "timeline/index.html", "topics/standards/index.html"):
        page = html.fromstring((out / name).read_text(encoding="utf-8"))
        # Who signs up is answered by `milepost web`, as whoever leaves is.
        for link in strings(page, "//@href[starts-with(., '/') and . != '/subscribe']"):
            target = out / link[1:].partition("#")[0]
            assert target.is_file() or (target / "index.html").is_file(), link
    assert etree.fromstring((out / "feed.atom").read_bytes()) is not None
    assert sorted(path.name for path in out.rglob(".*")) == []


def test_what_is_the_same_is_left_alone(published: Settings, database: Database, tmp_path: Path) -> None:
    first = build_archive(published, database, tmp_path)

    (tmp_path / "issues/1/index.html").write_text("half a pa", encoding="utf-8")
    again = build_archive(published, database, tmp_path)

    assert [path.relative_to(tmp_path).as_posix() for path in again.written] == ["issues/1/index.html"]
    assert again.unchanged == len(first.written) - 1


def test_a_place_that_can_not_be_written(published: Settings, database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="can't be written"):
        build_archive(published, database, tmp_path / "file")


@pytest.mark.parametrize("linked", [".", "issues", "issues/1"])
def test_nothing_is_written_through_a_linked_folder(
    linked: str, published: Settings, database: Database, tmp_path: Path
) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "site"
    elsewhere.mkdir()
    (out / linked).parent.mkdir(parents=True, exist_ok=True)
    (out / linked).symlink_to(elsewhere, target_is_directory=True)

    with pytest.raises(InputError, match=r"is a link, to .*elsewhere: nothing is written through it"):
        build_archive(published, database, out)
    if linked == ".":
        with pytest.raises(InputError, match="is a link"):
            write_preview(published, database, 1, out)

    assert list(elsewhere.iterdir()) == []


def test_a_linked_file_is_replaced_not_followed(issues_alone: Settings, database: Database, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("mine", encoding="utf-8")
    out = tmp_path / "site"
    out.mkdir()
    for name in ("index.html", "issue-1-page.html"):
        (out / name).symlink_to(other)

    build_archive(issues_alone, database, out)
    write_preview(issues_alone, database, 1, out)

    assert other.read_text(encoding="utf-8") == "mine"
    assert not (out / "index.html").is_symlink()


def test_a_theme_of_ones_own(issues_alone: Settings, database: Database, tmp_path: Path) -> None:
    own = tmp_path / "own"
    copied = eject_templates(own)
    assert {path.relative_to(own) for path in copied} == {
        path.relative_to(templates_folder()) for path in templates_folder().rglob("*.j2")
        if folder_of(FIRST) not in path.parts  # an earlier design is there to replay what was made with it
    }
    assert templates_digest(own) == templates_digest()
    with pytest.raises(InputError, match="is there already"):
        eject_templates(own)

    for path in copied:
        if path.name not in ("masthead.j2", "base.html.j2"):
            path.unlink()
    for path in (own / "partials/masthead.j2", own / "web/base.html.j2"):
        path.write_text(path.read_text(encoding="utf-8").replace("{{ issue.name }}", "The {{ issue.name }} Gazette")
                        .replace("</header>", "Gazette</header>"), encoding="utf-8")
    assert templates_digest(own) != templates_digest()
    letter = issues_alone.newsletter.model_copy(update={"templates": own})
    themed = issues_alone.model_copy(update={"newsletter": letter})
    build_archive(themed, database, tmp_path / "site")
    assert "Gazette" in (tmp_path / "site/index.html").read_text(encoding="utf-8")

    issue = Issues(database).get(1)
    with rendered(themed, database, 1, issue.cadence, issue.items, issue.created_at) as made:
        assert "The Clockwork Gazette" in next(iter(made.variants)).html
    assert made.rendered_with["templates"] == templates_digest(own)


def test_a_theme_made_for_the_first_design_goes_on_working(
    published: Settings, database: Database, tmp_path: Path
) -> None:
    shutil.copytree(templates_folder() / folder_of(FIRST), tmp_path / "own")
    letter = published.newsletter.model_copy(update={"templates": tmp_path / "own"})
    themed = published.model_copy(update={"newsletter": letter})
    issue = Issues(database).get(1)

    with rendered(themed, database, 1, issue.cadence, issue.items, issue.created_at) as made:  # lint is part of it
        assert "Where it stands" in next(iter(made.variants)).text  # as that design has it
    assert " and one more" in made.subject


def test_a_theme_that_is_nowhere(published: Settings, database: Database, tmp_path: Path) -> None:
    letter = published.newsletter.model_copy(update={"templates": tmp_path / "nowhere"})
    with pytest.raises(SettingsError, match="milepost templates eject"):
        build_archive(published.model_copy(update={"newsletter": letter}), database, tmp_path / "site")


@pytest.mark.parametrize(
    ("archive_signup", "shown"),
    [(None, "/subscribe"), ("https://in.clockwork.example/come", "https://in.clockwork.example/come"), ("none", None)],
)
def test_the_way_in_is_where_somebody_answers(
    archive_signup: str | None, shown: str | None, issues_alone: Settings, database: Database, tmp_path: Path
) -> None:
    web = issues_alone.web.model_copy(update={"archive_signup": archive_signup})
    build_archive(issues_alone.model_copy(update={"web": web}), database, tmp_path)
    for name in ("index.html", "issues/1/index.html"):
        page = html.fromstring((tmp_path / name).read_text(encoding="utf-8"))
        found = strings(page, "//@href[contains(., '/subscribe') or contains(., '/come')]")
        assert set(found) == ({shown} if shown else set())
