"""Chromium as a process: where it is, whether it may be started, how it is kept off the network, its certain end."""

import contextlib
import os
import shutil
import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from milepost.errors import SettingsError
from milepost.settings import RenderSettings

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_INSTALL = ("Install the extra and a Chromium: pip install 'milepost[js]', and apt-get install chromium or "
            "playwright install chromium.")
_HEAP_MB = 768  # of its scripts in one page


def browser_path(settings: RenderSettings) -> Path | None:
    """The Chromium to start; None: Playwright's own is there and knows where.

    Raises SettingsError where there is no Playwright, no Chromium, or one that may not be started.
    """
    if find_spec("playwright") is None:
        raise SettingsError("pages can't be rendered: Playwright is not installed", where="sources.render",
                            hint=_INSTALL)
    found = settings.browser or next((Path(place) for name in _NAMES if (place := shutil.which(name))), None)
    if found is None and not _playwrights_own():
        raise SettingsError("pages can't be rendered: there is no Chromium", where="sources.render", hint=_INSTALL)
    if found is not None and not os.access(found, os.X_OK):
        raise SettingsError("there is no program at that path", where=f"render.browser = {str(found)!r}",
                            hint="Give the path of a Chromium, or take it out.")
    if settings.sandbox and os.geteuid() == 0:
        raise SettingsError(
            "pages can't be rendered: Chromium has no sandbox for root", where="render.sandbox",
            hint="Run Milepost as another user; or, where a container holds nothing else, set it to false.",
        )
    return found


def _playwrights_own() -> bool:
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"
    return any(Path(folder).expanduser().glob("chromium*"))


def arguments(nowhere: int) -> list[str]:
    """What it is started with. All requests are answered by us; should one escape that, it finds no network.

    `nowhere`: a port of this machine that is taken and that nobody listens at: its proxy, for loopback as well.
    """
    return [
        f"--proxy-server=http://127.0.0.1:{nowhere}", "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad", "--renderer-process-limit=4",
        f"--js-flags=--max-old-space-size={_HEAP_MB}",
    ]


def environment(home: str) -> dict[str, str]:
    """What it knows of ours: no secrets, and a home of its own."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "TZ": "UTC"}


class Nowhere:
    """A port that is taken and refuses; a context manager."""

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class BrowserProcess:
    """The browser and what it started, by its process id: it leads a session of its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # a number may be given to another process once this one is over; a descriptor of it is never another's
        self._descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def kill(self) -> None:
        """End it at once; a second time does nothing. Its children end with it."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is None:
                if self.pid:
                    os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self.pid = None, 0

    def memory(self) -> int:
        """Bytes that it and its children have for themselves; 0 where the system doesn't tell (it is no Linux)."""
        return sum(_own_memory(process) for process in Path("/proc").glob("[0-9]*") if _session(process) == self.pid)


def _session(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])  # proc(5): the sixth field
    except (OSError, IndexError, ValueError):
        return -1


def _own_memory(process: Path) -> int:
    try:
        _, resident, shared, *_ = (process / "statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return max(int(resident) - int(shared), 0) * os.sysconf("SC_PAGE_SIZE")
