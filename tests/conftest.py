"""What every room's tests share: a statement is compiled once a process, however many databases it is asked of."""

from typing import Any

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
