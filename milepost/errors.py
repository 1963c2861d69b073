"""Every error that a user may meet, each with where it happened and what to do next.

    MilepostError                   exit 1
    ├── SettingsError               a key of milepost.toml or MILEPOST_* is wrong
    ├── InputError                  a file or argument that was handed in can't be used
    ├── FetchError                  a page could not be had; the run goes on
    │   ├── RefusedError            our own guard said no (address, scheme, size, robots)
    │   └── SourceDownError         the source gave nothing to go on; the look ends
    │       └── SourceEndedError    it says that it is gone for good; nobody asks again
    ├── ExtractError                a page was had and can't be read; its record stands
    ├── StoreError                  the database said no
    │   ├── SchemaError             it is older or newer than this program
    │   ├── NotFoundError           no such issue, milestone, subscriber
    │   ├── BusyError               others are at it; it passes by itself
    │   │   └── UnderWayError       … somebody else is at this very piece of work
    │   └── ConflictError           it changed under us, or the state forbids it
    ├── RenderError                 an issue can't be turned into a mail
    │   └── LintError               it can, but readers would not be glad: not sealed
    ├── DeliveryError               the relay or the transport said no
    ├── ForbiddenError              the operator's role does not allow it
    └── HeldError                   exit 3: waits for an operator
"""

from collections.abc import Sequence

from milepost.printable import printable


class MilepostError(Exception):
    """One clear sentence: what went wrong, `where`, and in `hint` what to do next.

    The place where what an error quotes (a header, an address, a server's words) is made printable: the terminal, the
    log, the ledger and JSON all tell what stands here.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = printable(what)
        self.where = None if where is None else printable(where)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.hint is None else f"{text.rstrip('.')}. {self.hint}"


class SettingsError(MilepostError):
    """A setting is missing, unreadable or not allowed; names the key, its value and what is allowed."""


class InputError(MilepostError):
    """A file or an argument that was handed in can't be used."""


class FetchError(MilepostError):
    """A page could not be had. `retryable` says whether trying again may help."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None,
        status: int | None = None, retryable: bool = False,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status
        self.retryable = retryable


class RefusedError(FetchError):
    """Milepost itself refused the request: a forbidden address, scheme, size or a robots rule."""


class SourceDownError(FetchError):
    """The source as a whole gave nothing to go on: no answer, no sitemap, no milestones listed."""


class SourceEndedError(SourceDownError):
    """The source says that it is gone for good: nobody asks again before an operator does."""


class ExtractError(MilepostError):
    """A page was fetched and can't be read as a milestone; what was known of it stands."""


class StoreError(MilepostError):
    """The database could not do what was asked."""


class SchemaError(StoreError):
    """The database is of another version than this program."""


class NotFoundError(StoreError):
    """There is no such issue, milestone, subscriber or look."""


class BusyError(StoreError):
    """The database is locked, or every connection or writer is in use: later it will do the same thing."""


class UnderWayError(BusyError):
    """Somebody else does this very piece of work, under a lease that is not over."""


class ConflictError(StoreError):
    """The state of the thing forbids the step, or somebody else changed it first."""


class RenderError(MilepostError):
    """An issue can't be rendered."""


class LintError(RenderError):
    """A rendered issue breaks a rule of good mail and isn't sealed; `findings` names each."""

    def __init__(self, findings: Sequence[str], *, where: str | None = None) -> None:
        self.findings = tuple(findings)
        super().__init__(
            "; ".join(self.findings), where=where, hint="Mend the template or the settings, then draft the issue again."
        )


class DeliveryError(MilepostError):
    """The relay could not be reached, or refused us as a whole."""


class ForbiddenError(MilepostError):
    """The operator's role does not allow it, or nobody is signed in."""


class HeldError(MilepostError):
    """Nothing is wrong with the program: an operator has to decide."""

    exit_code = 3
