"""PostgreSQL on a host: python database_host.py ADDRESS NETWORK     prints its URL, again after each restart.

A line of its input is how to restart it (fast, immediate); their end is its own.
"""

import sys
from pathlib import Path

import sqlalchemy as sa

from tests.chaos.backends import Postgresql
from tests.store import postgresql


def main(address: str, network: str) -> None:
    options = postgresql.QUICK.replace("listen_addresses=", f"listen_addresses={address}")
    with postgresql.server(options) as url:
        folder = Path(str(sa.make_url(url).query["host"]))
        with (folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write(f"host all all {network} trust\n")
        server = Postgresql(url)
        server.restart("fast")  # reads its rules
        print(url, flush=True)  # noqa: T201 (to whoever started it)
        for line in sys.stdin:
            server.restart("fast" if line.strip() == "fast" else "immediate")
            print(url, flush=True)  # noqa: T201 (to whoever started it)


if __name__ == "__main__":
    main(*sys.argv[1:])
