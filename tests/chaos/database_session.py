"""A session at the database: python database_session.py SETTINGS     locks the issues, asks again at a line's end."""

import sys
from pathlib import Path

import sqlalchemy as sa

from milepost.errors import StoreError
from milepost.settings import load
from store.database import connect

if __name__ == "__main__":
    try:
        with connect(load(Path(sys.argv[1])).store.url) as database, database.begin() as connection:
            connection.execute(sa.text("SELECT number FROM issue FOR UPDATE"))
            print("locked", flush=True)  # noqa: T201 (to whoever started it)
            sys.stdin.readline()
            connection.execute(sa.text("SELECT 1"))
    except StoreError as error:
        sys.exit(str(error))
