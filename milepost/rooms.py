"""Every room lies beside `milepost`: another package of the same name would be run in its place."""

from importlib.util import find_spec
from pathlib import Path

from milepost.errors import SettingsError

HOME = Path(__file__).resolve().parents[1]  # the checkout, or site-packages
ROOMS = (
    "console", "crawler", "delivery", "extractors", "flows", "milepost", "newsletter", "pipeline", "store", "templates",
    "web",
)


def require_rooms() -> None:
    """Raises SettingsError when Python would take a room from elsewhere; the command asks before it opens the door."""
    for room in ROOMS:
        spec = find_spec(room)
        if spec is None:
            raise SettingsError(f"the package {room} is missing", where=str(HOME),
                                hint="Install Milepost again, in a virtual environment of its own.")
        found = Path(spec.origin or "?").resolve()
        if found.parent != HOME / room:
            raise SettingsError(
                f"it stands where Milepost's own package {room} is looked for", where=str(found),
                hint="Start Milepost from another folder, or install it in a virtual environment of its own.",
            )
