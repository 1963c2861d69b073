"""The bench of changelogs: every made-up form is read whole, and a reader who errs would be seen."""

import pytest

from bench import changelogs
from extractors import registry
from milepost.records import Page

FILES = list(changelogs.forms(6))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.form)
def test_every_form_is_read_whole(file: changelogs.File) -> None:
    records = registry.get("changelog").read_many(Page(url="https://kiln.example/C.md", text=file.text), source="kiln")
    told = [(one.title, one.date.value if one.date else None) for one in records]
    assert changelogs.score(file, told) == (6, 0, 0)
    assert [day for _, day in told] == [day for _, day in file.right]


def test_a_reader_who_errs_is_seen() -> None:
    told = [*FILES[0].right[:4], ("9.9.9", None), (FILES[0].right[4][0], "1999-01-01")]
    assert changelogs.score(FILES[0], told) == (5, 1, 1)
    assert changelogs.score(FILES[0], None) == (0, 0, 0)
