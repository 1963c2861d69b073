"""What a web process does beside its first requests, so that none of them pays for it."""

import gc
from collections.abc import Iterator

import pytest

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
def test_without_an_operator_there_is_no_desk_to_make_ready(house: House) -> None:
    with WarmUp(house.desk):
        pass
    compile_no_more(house)
    with pytest.raises(AssertionError, match="had to be compiled"):
        house.desk.render("wrong.html.j2", visit=None, title="", sentence="")
    assert gc.get_freeze_count() > 10_000
