"""Where else an address can stand: in what operators wrote and what was kept of their acts; an erase masks it there.

    an address ─▶ rows that hold it ─▶ the same words with "(address)" in its place
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from milepost.printable import MASKED
from store.schema.tables import (
    act,
    api_token,
    backfill,
    issue,
    look,
    notice,
    notice_message,
    renaming,
    subscriber_event,
    suppression,
)

# What people type, or what quotes it; texts that are about one reader alone are emptied by the erase itself.
_WORDS: Mapping[sa.Table, tuple[str, ...]] = {
    act: ("about", "why", "said", "before", "after"), look: ("released_why", "refused_why"), renaming: ("why",),
    backfill: ("undone_why",), issue: ("pause_reason",), suppression: ("reason",), subscriber_event: ("why",),
    notice: ("says",), notice_message: ("title", "body", "why"), api_token: ("revoked_why",),
}


def mask(connection: sa.Connection, addresses: Collection[str]) -> None:
    """Take these out of all words, in whichever case they were typed, also with an international domain as such."""
    forms = {form for address in addresses for form in _forms(address.lower())}
    if not forms:
        return
    found = re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, sorted(forms)))})(?![\w-])", re.IGNORECASE)
    for table, names in _WORDS.items():
        columns = [table.c[name] for name in names]
        key = next(iter(table.primary_key))
        texts = [sa.func.lower(sa.type_coerce(column, sa.Text)) for column in columns]
        holds = sa.or_(*(text.contains(form, autoescape=True) for text in texts for form in forms))
        for row in connection.execute(sa.select(key, *columns).where(holds)).all():
            words = {name: _masked(found, getattr(row, name)) for name in names}
            connection.execute(sa.update(table).where(key == row[0]).values(words))


def _forms(address: str) -> set[str]:
    local, _, domain = address.rpartition("@")
    if not local:
        return set()  # one that was erased before
    try:
        return {address, f"{local}@{domain.encode('ascii').decode('idna')}"}
    except UnicodeError:
        return {address}


def _masked(found: re.Pattern[str], value: Any) -> Any:
    match value:
        case str():
            return found.sub(MASKED, value)
        case list():
            return [_masked(found, one) for one in value]
        case dict():
            return {_masked(found, name): _masked(found, one) for name, one in value.items()}
        case _:
            return value
