"""How a site writes what its slugs stand for is taken from its links and names, where that says more than the slug."""

import pytest
from lxml import html

from extractors.labels import spelt_as, taught

LINKS = {"category": "/topic/", "era": "/age/", "tags": "/tag/"}


@pytest.mark.parametrize(
    ("link", "spelt"),
    [
        ('<a href="/topic/making">Making &amp; Mending</a>', [("making", "Making & Mending")]),
        ('<a href="/age/first">The First Springs (1400–1660)</a>', [("first", "The First Springs")]),
        ('<a href="/tag/gps">#GPS</a>', [("gps", "GPS")]),
        ('<a href="/tag/gps">Gps</a>', []),  # a program made that of the slug
        ('<a href="/tag/atomic-clock"><b>Atomic Clock</b></a>', []),
        ('<a href="/tag/atomic-clock">atomic-clock</a>', []),
        ('<a href="/tag/atomic-clock">Atomic-Clock</a>', [("atomic-clock", "Atomic-Clock")]),
        ('<a href="/tag/gps">…</a>', []),
        (f'<a href="/tag/gps">{"every clock in the sky " * 9}</a>', []),
        ('<a href="/maker/acme">ACME</a>', []),
    ],
)
def test_a_link_s_words_are_a_label_unless_they_are_the_slug_again(link: str, spelt: list[tuple[str, str]]) -> None:
    assert list(taught(html.fromstring(f"<p>{link}</p>"), LINKS).spelt) == spelt


def test_names_are_written_as_the_site_writes_them() -> None:
    assert spelt_as(["ClockWorks", "Acme", "A&B", ""]) == (("clockworks", "ClockWorks"), ("a-b", "A&B"))
