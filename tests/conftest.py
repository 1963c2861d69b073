"""What every room's tests share: a statement is compiled once a process, and no test waits for the disk."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa


class _Compiled(dict[Any, Any]):
    """Compiled statements by (kind of database, statement); SQLAlchemy's own keys would name the single database."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)


_COMPILED = _Compiled()


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_compiled(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)


_disk = {"waited for": False}


@pytest.fixture
def waits_for_the_disk() -> Iterator[None]:
    """SQLite is as durable in this test as the program asks it to be."""
    _disk["waited for"] = True
    yield
    _disk["waited for"] = False


@sa.event.listens_for(sa.pool.Pool, "checkout")
def _do_not_wait(driver: Any, record: Any, _: Any) -> None:
    """No commit waits for the disk: that takes milliseconds, and only a machine that loses its power knows better."""
    if _disk["waited for"] or "asked not to wait" in record.info or not hasattr(driver, "executescript"):
        return
    record.info["asked not to wait"] = True
    driver.execute("PRAGMA synchronous = OFF").close()
