"""What a web process does beside its first requests, so that none of them pays for it."""

import gc
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from milepost.records import Variant
from pipeline import publish
from store.schema import tables
from tests.web.desk.conftest import House
from web.warm_up import WarmUp


@pytest.fixture
def thawed() -> Iterator[None]:
    """Nothing is frozen, and afterwards all that stays for the other tests (tests/conftest.py)."""
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def compile_no_more(house: House) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a page was asked for, and a template had to be compiled")

    house.desk.looks._environment._parse = refuse  # type: ignore[assignment,method-assign]
    house.desk.looks._environment.bytecode_cache = None


@pytest.mark.usefixtures("thawed")
def test_the_first_page_of_a_desk_compiles_nothing(house: House) -> None:
    admin = house.signed_in("admin")
    WarmUp(house.desk).run()
    compile_no_more(house)
    for path in ("/desk", "/desk/readers", "/desk/health", "/desk/new-source", "/desk/nothing"):
        admin.open(path)
        assert admin.status in (200, 404)
    assert gc.get_freeze_count() > 10_000  # a full collection looks at them no more


@pytest.mark.usefixtures("thawed")
def test_every_page_was_made_once_and_nothing_was_done(
    make: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make("news")
    number = house.draft()
    house.signed_in("admin")
    before = kept(house)
    WarmUp(house.desk).run()
    assert kept(house) == before
    read: list[str] = []

    def noted(variant: Variant, **_: object) -> list[str]:
        read.append(variant.name)
        return []

    monkeypatch.setattr(publish, "lint", noted)
    asked: list[str] = []
    admin = house.signed_in("admin")
    sa.event.listen(sa.engine.Engine, "before_cursor_execute", saw := lambda *now: asked.append(now[2]))
    try:
        admin.open(f"/desk/issues/{number}")
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", saw)
    assert (admin.status, read) == (200, [])  # lint has read it before
    assert sum("issue.content_hash" in one for one in asked) == 1  # the issue itself is loaded once


def kept(house: House) -> list[list[tuple[object, ...]]]:
    """All that the database holds, but for who is signed in."""
    with house.database.connect() as connection:
        return [
            [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables if table.name not in ("operator_session", "meta")
        ]


@pytest.mark.usefixtures("thawed")
def test_without_an_operator_there_is_no_desk_to_make_ready(house: House) -> None:
    with WarmUp(house.desk):
        pass
    compile_no_more(house)
    with pytest.raises(AssertionError, match="had to be compiled"):
        house.desk.render("wrong.html.j2", visit=None, title="", sentence="")
    assert gc.get_freeze_count() > 10_000
