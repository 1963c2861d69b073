"""Serves the readers' pages and the operators' desk: over the store, until it is told to stop.

    settings ─▶ web.processes × Site (database, applications, letters) ─▶ uvicorn, over web.connections
"""

import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.log_lines import in_json
from milepost.settings import Settings
from pipeline import letters
from pipeline.operate.metrics import Health
from pipeline.provider_reports import ProviderReports
from pipeline.readers_pages import behind
from pipeline.upkeep import open_database
from web.app import create_app
from web.connections import ACCEPTED_AT_ONCE, KEEP_ALIVE_S, connections, room_for
from web.desk.app import desk_app
from web.desk.desk import Desk
from web.desk.door import DeskDoor, own_address
from web.letter_sender import LetterSender
from web.log_throttle import throttle
from web.proxies import Proxies
from web.warm_up import WarmUp
from web.workers import HEALTH_S, Workers, end_with_parent
from web.writing import STORE_SECONDS, Writers

DRAIN_S = 15  # for requests in hand, when the process ends


@dataclass(frozen=True, slots=True)
class Site:
    """Makes the application of one process, with all that is open as long as it runs."""

    settings: Settings
    level: int  # of the log
    json_lines: bool = False  # its form

    def __call__(self) -> ASGIApp:
        """Raises StoreError, SchemaError and SettingsError."""
        throttle(self.level, json_lines=self.json_lines)
        settings = self.settings
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(open_database(settings, wait_seconds=STORE_SECONDS))
            kept = behind(settings, database)
            sender = LetterSender(lambda: letters.quietly(settings, database, now=utc_now))

            @contextlib.asynccontextmanager
            async def lifespan(_: Any) -> AsyncIterator[None]:
                with opened:
                    opened.enter_context(sender)
                    opened.enter_context(WarmUp(desk))
                    yield
                    await run_in_threadpool(opened.close)  # the letter in hand is finished; nobody waits for the loop

            end_with_parent()
            app = create_app(
                issues=kept.issues, timeline=kept.timeline, freshness=kept.freshness, own_page=kept.own_page,
                topics=kept.topics, signing_up=kept.signing_up, pictures=kept.pictures, health=Health(settings),
                reports=ProviderReports(settings, database),
                settings=settings, keys=kept.keys, list_id=kept.list_id, now=utc_now, wake=sender.wake,
                lifespan=lifespan, writers=Writers(),
            )
            desk = Desk(settings, database, now=utc_now)
            door = DeskDoor(app, desk_app(desk), exists=desk.accounts.any, listen=own_address(settings.desk.listen))
            opened = stack.pop_all()
        return Proxies(door, settings.web)


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM; raises MilepostError when the address can't be listened on, StoreError and
    SchemaError when the database can't be opened."""
    desk = own_address(settings.desk.listen)
    if desk is not None and desk[1] == port:  # by the port alone each knows which of the two is asked for
        raise MilepostError(f"the readers' pages take port {port} too", where=f"desk.listen = {settings.desk.listen}",
                            hint="Give the desk a port of its own.")
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen(host, port))]
        if desk is not None:
            listeners.append(stack.enter_context(listen(*desk, hint="Choose another desk.listen.")))
        throttle()
        config = _config(settings)
        if config.workers == 1:
            uvicorn.Server(config).run(sockets=listeners)
            return
        open_database(settings).close()  # a worker that can't open it is tried again and again
        Workers(config, listeners).run()


def _config(settings: Settings) -> uvicorn.Config:
    level = min((handler.level for handler in logging.getLogger("milepost").handlers), default=logging.WARNING)
    most = room_for(settings.web.connections)
    return uvicorn.Config(
        Site(settings, level, in_json()), factory=True, lifespan="on", ws="none",
        http=connections(most),  # type: ignore[arg-type]
        log_config=None, log_level="warning", access_log=False,  # it would keep who opened which link and when
        proxy_headers=False, server_header=False, workers=settings.web.processes, timeout_worker_healthcheck=HEALTH_S,
        backlog=min(ACCEPTED_AT_ONCE, most), timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


def listen(host: str, port: int, *, hint: str = "Choose another --host or --port.") -> socket.socket:
    """A socket whose connections send what they have at once: 40 ms of each kept connection's answer were Nagle's
    algorithm, waiting for the client's delayed acknowledgement (RFC 1122 §4.2.3.2, §4.2.3.4)."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=ACCEPTED_AT_ONCE)
    except (OSError, OverflowError) as error:
        raise MilepostError(
            f"can't be listened on: {getattr(error, 'strerror', None) or error}", where=f"{host}:{port}", hint=hint
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def free_port() -> int:
    """A port on loopback that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
