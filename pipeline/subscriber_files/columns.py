"""Which column of a list is what: by its heading, or by an operator's word; what isn't understood is never guessed.

    headings ─▶ mapping (address, cadence, topics, who wants mail, ignored) ─▶ rows ─▶ entries, and wrong rows
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from milepost.errors import HeldError, InputError
from milepost.records import CADENCES, Cadence
from pipeline.subscriber_files import consent
from pipeline.subscriber_files.address_cell import address_in
from pipeline.subscriber_files.consent import folded
from pipeline.subscriber_files.csv_reading import Row, Table
from pipeline.subscriber_files.formulas import unescape
from store.subscribers.importing import STANDINGS, Entry, Standing

Field = Literal["address", "state", "cadence", "topics"]
FIELDS: tuple[Field, ...] = ("address", "state", "cadence", "topics")

# Folded, the plainer a name is about addresses the earlier: of "Email Address" and "Address" the first is meant.
_ADDRESS = (
    "email address", "e mail address", "email", "e mail", "emailaddress", "subscriber email", "user email",
    "contact email", "mail address", "mail", "e mail adresse", "email adresse", "emailadresse", "mailadresse",
    "adresse e mail", "adresse email", "courriel", "correo electronico", "correo electrónico", "indirizzo email",
    "電子メール", "メールアドレス", "邮箱", "电子邮件", "адрес электронной почты", "address", "adresse", "subscriber",
)
_SHOWN = 5  # words in a sentence
_STRICTNESS: Mapping[Standing, int] = {standing: at for at, standing in enumerate(STANDINGS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What an operator says about the columns; headings and words as they look them up."""

    fields: Mapping[Field, str] = field(default_factory=dict)  # field → heading
    ignored: frozenset[str] = frozenset()  # headings, folded
    words: Mapping[str, Standing] = field(default_factory=dict)  # word, folded → what it says
    standing: Standing | None = None  # of rows whose file doesn't say


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column and what it is taken for."""

    heading: str
    taken_for: Literal["address", "cadence", "topics", "suppressed", "consent", "ignored"]
    note: str = ""  # for people: whose words they are


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """The columns of a file in their order, and what all its rows have in common."""

    columns: tuple[Column, ...]
    base: Standing  # until a row says more
    base_note: str = ""

    def at(self, taken_for: str) -> Iterator[int]:
        """Where such columns stand."""
        return (place for place, column in enumerate(self.columns) if column.taken_for == taken_for)


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """The people of a file."""

    entries: tuple[Entry, ...]
    errors: tuple[tuple[int, str], ...]  # (line of the file, what is wrong with it)
    cleaned: int  # addresses that something had to be taken off


def is_heading(cells: Sequence[str], choices: Choices) -> bool:
    """Whether a row names a column of addresses."""
    names = set(_ADDRESS) if "address" not in choices.fields else {folded(choices.fields["address"])}
    return any(folded(cell) in names for cell in cells)


def map_columns(table: Table, name: str, choices: Choices) -> Mapped:
    """What each column of the file `name` is.

    Raises InputError for a choice that names no column, HeldError for a column that may say who wants mail and isn't
    understood: an operator has to decide.
    """
    if not table.heading:
        columns: tuple[Column, ...] = (Column(heading="", taken_for="address"),)
    else:
        columns = tuple(_named(table, choices))
    headings = frozenset(folded(heading) for heading in table.heading)
    base, note = choices.standing or "active", ""
    told = any(column.taken_for == "consent" for column in columns)
    if choices.standing is None:
        if (whole := consent.of_a_file(name, headings)) is not None:
            base, note = whole[0], f"{whole[1]}'s export {name}"
        elif not {"unsub time", "clean time"} & headings and consent.is_mailchimp(headings):
            raise HeldError(
                "is an audience export of Mailchimp, and only its file's first name tells of whom", where=name,
                hint="Give it that name again (subscribed_…, nonsubscribed_…), or say --state active or never_asked.",
            )
        elif not told and consent.name_speaks_of_leaving(name):
            raise HeldError(
                "by its name these people have left, and no column says so", where=name,
                hint="Say what they are: --state unsubscribed, bounced, complained, blocked, or active.",
            )
    return Mapped(columns=columns, base=base, base_note=note)


def address_column(table: Table) -> int:
    """Where the addresses of a table stand whose heading names them, or that has none; raises InputError for two."""
    return _address(table, [folded(heading) for heading in table.heading]) if table.heading else 0


def _named(table: Table, choices: Choices) -> Iterator[Column]:
    names = [folded(heading) for heading in table.heading]
    chosen = {what: _place(table, heading) for what, heading in choices.fields.items()}
    for heading in choices.ignored:
        _place(table, heading)
    address = chosen["address"] if "address" in chosen else _address(table, names)
    for place, (heading, name) in enumerate(zip(table.heading, names, strict=True)):
        mine = next((what for what, at in chosen.items() if at == place), None)
        if place == address:
            yield Column(heading=heading, taken_for="address")
        elif name in choices.ignored:
            yield Column(heading=heading, taken_for="ignored", note="as you said")
        elif mine in ("cadence", "topics"):
            yield Column(heading=heading, taken_for=mine, note="as you said")
        elif mine == "state" or consent.is_known(name):
            yield _consent(table, place, choices, named=mine == "state")
        elif name in ("cadence", "topics", "suppressed"):
            yield Column(heading=heading, taken_for=name)  # type: ignore[arg-type]
        elif consent.looks_like_consent(name):
            values = _shown(row.cells[place] for row in table.rows if place < len(row.cells))
            raise HeldError(
                f"the column “{heading}” looks as if it told who wants mail, and isn't understood ({values})",
                hint=f"Map it: --map state=\"{heading}\", with --word VALUE=active|unsubscribed|bounced|…; or leave it "
                     f"out: --ignore \"{heading}\".",
            )
        else:
            yield Column(heading=heading, taken_for="ignored")


def _place(table: Table, heading: str) -> int:
    found = [place for place, one in enumerate(table.heading) if folded(one) == folded(heading)]
    if len(found) != 1:
        raise InputError(
            f"there is {'no' if not found else 'more than one'} column “{heading}”",
            hint=f"The headings are {', '.join(f'“{one}”' for one in table.heading)}.",
        )
    return found[0]


def _address(table: Table, names: Sequence[str]) -> int:
    best = next(one for one in _ADDRESS if one in names)
    found = [place for place, name in enumerate(names) if name == best]
    if len(found) > 1:
        raise InputError(f"{len(found)} columns are called “{table.heading[found[0]]}”", hint="Rename all but one.")
    return found[0]


def _consent(table: Table, place: int, choices: Choices, *, named: bool) -> Column:
    """A column that says who wants mail; raises HeldError for words that nobody knows."""
    heading = table.heading[place]
    words = Counter(row.cells[place].strip() for row in table.rows if place < len(row.cells))
    known = {word: _says(folded(heading), word, choices, named=named) for word in words}
    strange = [word for word, says in known.items() if says is None]
    if consent.is_mere_hint(folded(heading)) and not named and len(strange) == len(words):
        return Column(heading=heading, taken_for="ignored", note="no word of it is about mail")
    if strange:
        raise HeldError(
            f"the column “{heading}” says {_shown(strange)} (rows: {sum(words[word] for word in strange)}), and that "
            "isn't understood",
            hint=f"Say what it means: --word \"{strange[0]}\"=active|pending|never_asked|unsubscribed|blocked|bounced|"
                 f"complained; or leave the column out: --ignore \"{heading}\".",
        )
    meanings = {consent.meaning_of(folded(heading), word) for word in words}
    programs = sorted({one.program for one in meanings if one is not None and one.says != "nothing"})
    silent = all(says == "nothing" for says in known.values())
    return Column(
        heading=heading, taken_for="consent" if not silent or not words else "ignored",
        note="as you said" if named else "says nothing of who left" if silent else f"as {' or '.join(programs)} has it",
    )


def _says(heading: str, word: str, choices: Choices, *, named: bool) -> consent.Says | None:
    if folded(word) in choices.words:
        return choices.words[folded(word)]
    if (found := consent.meaning_of(heading, word)) is not None:
        return found.says
    return consent.of_a_word(word) if named else None


def _shown(values: Sequence[str] | Iterator[str]) -> str:
    each = list(dict.fromkeys(value.strip() for value in values))
    told = [f"“{one[:40]}”" if one else "nothing" for one in each[:_SHOWN]]
    return ", ".join([*told, "…"] if len(each) > _SHOWN else told) or "no values"


def read_people(table: Table, mapped: Mapped, choices: Choices, *, cadence: Cadence) -> Read:
    """The people of the file; `cadence` stands in where a row names none. Pure."""
    entries: list[Entry] = []
    errors: list[tuple[int, str]] = []
    cleaned = 0
    places = {name: tuple(mapped.at(name)) for name in ("address", "cadence", "topics", "suppressed", "consent")}

    @cache
    def means(place: int, cell: str) -> tuple[consent.Says, str]:
        heading, word = mapped.columns[place].heading, unescape(cell).strip()
        says = _says(folded(heading), word, choices, named=True)
        return says or "nothing", f"{heading} = {word}" if word else f"{heading} is empty"

    @cache
    def chosen(cell: str) -> Cadence:
        word = unescape(cell).strip().casefold() or cadence
        found = next((one for one in CADENCES if one == word), None)
        if found is None:
            raise InputError(f"{word!r} is no cadence; want {', '.join(CADENCES)}", where="cadence")
        return found

    @cache
    def topics(cell: str) -> tuple[str, ...]:
        return tuple(unescape(cell).strip().replace(";", " ").split())

    for row in table.rows:
        try:
            entry, changed = _entry(row, mapped, places, means, chosen, topics)
        except InputError as error:
            errors.append((row.line, str(error)))
            continue
        entries.append(entry)
        cleaned += changed
    return Read(entries=tuple(entries), errors=tuple(errors), cleaned=cleaned)


def require_width(row: Row, width: int) -> None:
    """Raises InputError for a row with more cells than its heading: nobody knows which is which."""
    if len(row.cells) > width:
        raise InputError(f"has {len(row.cells)} cells, the heading {width}", hint="Is a quote missing?")


def _entry(
    row: Row, mapped: Mapped, places: Mapping[str, Sequence[int]],
    means: Callable[[int, str], tuple[consent.Says, str]], chosen: Callable[[str], Cadence],
    topics: Callable[[str], tuple[str, ...]],
) -> tuple[Entry, bool]:
    """`places`: where the columns of each kind stand; `means`: what a cell in one of consent says, and in which words;
    `chosen`, `topics`: what a cell says of how often, and about what. Raises InputError.
    """
    require_width(row, len(mapped.columns))

    def cell(taken_for: str) -> str:
        at = places[taken_for]
        return row.cells[at[0]] if at else ""

    address, changed = address_in(unescape(row.cells[places["address"][0]]))
    cadence = chosen(cell("cadence"))
    standing, words = mapped.base, mapped.base_note
    for place in places["consent"]:
        says, told = means(place, row.cells[place])
        if says != "nothing" and _STRICTNESS[says] >= _STRICTNESS[standing]:  # of two the later word stands
            standing, words = says, told
    entry = Entry(
        line=row.line, address=address, standing=standing, said=words[:200],
        suppressed=unescape(cell("suppressed")).strip() or None, cadence=cadence, topics=topics(cell("topics")),
    )
    return entry, changed
