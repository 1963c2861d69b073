"""Serves the readers' pages: the web application over the store, until it is told to stop."""

import socket

import uvicorn

from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.settings import Settings
from pipeline import letters
from pipeline.readers_pages import behind
from pipeline.upkeep import open_database
from web.app import create_app
from web.letter_sender import LetterSender
from web.writing import STORE_SECONDS


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM; raises MilepostError when the address can't be listened on."""
    with open_database(settings, wait_seconds=STORE_SECONDS) as database, _listen(host, port) as listener:
        kept = behind(settings, database)
        sender = LetterSender(lambda: letters.quietly(settings, database, now=utc_now))
        app = create_app(
            issues=kept.issues, subscribers=kept.subscribers, topics=kept.topics, signing_up=kept.signing_up,
            settings=settings, keys=kept.keys, list_id=kept.list_id, now=utc_now, wake=sender.wake,
        )
        # access logs would keep who opened which link and when
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
        with sender:
            server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise MilepostError(
            f"can't be listened on: {error.strerror}", where=f"{host}:{port}", hint="Choose another --host or --port."
        ) from None


def free_port() -> int:
    """A port on loopback that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
