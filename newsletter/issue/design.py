"""Which design an issue is of: what is drafted today has today's, and each keeps its own, so that it replays for ever.

    1  templates/first    the subject counts, the list of contents stands among its neighbours, long issues end in brief
    2  templates          the subject names the lead, five stories in full, the rest a line each
    3  templates          a text has its shape: lists and code are lists and code, where they were lines before
"""

from collections.abc import Mapping
from typing import cast

FIRST = 1
LINES = 2
TODAY = 3
_FOLDERS = {FIRST: "first", LINES: "", TODAY: ""}  # below that of the templates


def design_of(shown: Mapping[str, object]) -> int:
    """The design of an issue, by the settings that were kept with it (compose.shown_settings)."""
    return cast("int", shown.get("design", FIRST))


def folder_of(design: int) -> str:
    """Where its templates are, below templates/; raises KeyError for a design of a later release."""
    return _FOLDERS[design]
