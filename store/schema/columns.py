"""Column types that mean the same on SQLite and PostgreSQL: moments in UTC, canonical JSON, big keys."""

import datetime as dt
import json
from typing import Any

import sqlalchemy as sa

from milepost.codec import canonical_json
from milepost.records import check_aware

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key


class Moment(sa.types.TypeDecorator[dt.datetime]):
    """An aware datetime: timestamptz on PostgreSQL, fixed-width ISO 8601 text in UTC on SQLite, so that it sorts.

    Binding a naive datetime raises ValueError; what is read is always in UTC.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The type the database sees."""
        return dialect.type_descriptor(sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.String(32))

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        moment = check_aware(value).astimezone(dt.UTC)
        return moment if dialect.name == "postgresql" else moment.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> dt.datetime | None:  # noqa: ARG002 (its form)
        """From the database."""
        if value is None:
            return None
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        return check_aware(moment).astimezone(dt.UTC)


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value as canonical text: the same bytes on both engines, and free of jsonb's ban on some characters."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 (its form)
        """To the database."""
        if value is None:
            return None
        try:
            return canonical_json(value).decode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form, but an escaped one
            return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 (its form)
        """From the database."""
        return None if value is None else json.loads(value)
