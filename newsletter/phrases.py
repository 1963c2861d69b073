"""Every word of an issue that is ours and not the source's, in one catalogue per language."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from milepost.dates import PartialDate
from milepost.records import Cadence

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_RHYTHMS: Mapping[Cadence, str] = MappingProxyType({
    "instant": "as milestones are added", "daily": "every day", "weekly": "every week", "monthly": "every month",
})


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrases:
    """English, and the shape of any other language; {names} are filled in with str.format."""

    # the subject line and what stands beside it in the inbox
    one_correction: str = "Correction: {title}"
    and_one_more: str = "{title}, and one more"
    and_a_correction: str = "{title}, and a correction"
    and_more_corrections: str = "{title}, and {rest} corrections"
    many_news: str = "{count} new milestones: {title}, …"
    many_corrections: str = "{count} corrections: {title}, …"
    also: str = "Also: {titles}"

    # the masthead
    issue: str = "Issue {number}"
    weekday_and_day: str = "{weekday}, {day} {month} {year}"
    one_new: str = "1 new milestone"
    many_new: str = "{count} new milestones"
    one_corrected: str = "1 correction"
    many_corrected: str = "{count} corrections"
    in_this_issue: str = "In this issue"

    # a milestone
    new: str = "New on the timeline"
    also_new: str = "Also new on the timeline"
    corrected: str = "Corrected on the timeline"
    undated: str = "Undated"
    no_year: str = "—"
    impact: str = "Impact {impact} of 5"
    era: str = "{era} era"
    why: str = "Why it mattered"
    people: str = "People"
    organizations: str = "Organizations"
    neighbours: str = "Where it stands"
    read_on: str = "Read on the timeline"
    read_on_about: str = "{text}: {title}"
    read_rest: str = "Read the rest on the timeline"
    one_left_out: str = "One more milestone is on the page of this issue."
    many_left_out: str = "{count} more milestones are on the page of this issue."

    # the colophon
    why_you: str = "You get this because you asked {name} to write to you {rhythm}."
    no_tracking: str = "Nothing in this mail tells us whether you opened it."
    read_on_web: str = "Read this issue on the web"
    unsubscribe: str = "Unsubscribe"
    rhythms: Mapping[Cadence, str] = field(default_factory=lambda: _RHYTHMS)

    # dates and slugs
    day_form: str = "{day} {month} {year}"
    month_form: str = "{month} {year}"
    months: tuple[str, ...] = _MONTHS
    weekdays: tuple[str, ...] = _WEEKDAYS
    acronyms: frozenset[str] = frozenset({"ai", "agi", "api", "cpu", "gpu", "llm", "nlp", "rl", "tpu", "uk", "us"})

    def date(self, date: PartialDate | None) -> str:
        """A date to the precision that is known; "" when there is none."""
        if date is None:
            return ""
        if date.month is None:
            return str(date.year)
        month = self.months[date.month - 1]
        if date.day is None:
            return self.month_form.format(month=month, year=date.year)
        return self.day_form.format(day=date.day, month=month, year=date.year)

    def day(self, moment: dt.date) -> str:
        """A day of our own calendar, with its weekday."""
        return self.weekday_and_day.format(
            weekday=self.weekdays[moment.weekday()], day=moment.day,
            month=self.months[moment.month - 1], year=moment.year,
        )

    def label(self, slug: str | None) -> str:
        """A slug as words: "deep-learning" → "Deep learning", "ai-winter" → "AI winter"; "" for None."""
        words = [word.upper() if word in self.acronyms else word for word in (slug or "").replace("-", " ").split()]
        text = " ".join(words)
        return text[:1].upper() + text[1:]

    def tally(self, news: int, corrections: int) -> str:
        """What an issue holds: "2 new milestones, 1 correction"."""
        parts = []
        if news:
            parts.append(self.one_new if news == 1 else self.many_new.format(count=news))
        if corrections:
            parts.append(self.one_corrected if corrections == 1 else self.many_corrected.format(count=corrections))
        return ", ".join(parts)

    def left_out(self, count: int) -> str:
        """What a shortened issue says about the milestones that it does not show; "" for none."""
        if not count:
            return ""
        return self.one_left_out if count == 1 else self.many_left_out.format(count=count)


ENGLISH = Phrases()
