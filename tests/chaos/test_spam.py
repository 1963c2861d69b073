"""SpamAssassin, where it is installed, finds nothing in our mails that costs points."""

import shutil
from pathlib import Path

import pytest

from bench import spam

pytestmark = pytest.mark.chaos


@pytest.mark.skipif(shutil.which("spamassassin") is None, reason="spamassassin is not installed")
def test_no_mail_of_today_s_design_costs_a_point(tmp_path: Path) -> None:
    made = list(spam.mails(tmp_path))
    verdicts = dict(zip([name for name, _ in made], spam.score([mail for _, mail in made], tmp_path), strict=True))

    assert {name: one.rules for name, one in verdicts.items() if not name.startswith("design 1") and one.rules} == {}
    assert all("HTML_FONT_LOW_CONTRAST" in one.rules for name, one in verdicts.items() if name.startswith("design 1"))
