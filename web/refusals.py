"""Which status answers which error of the pipeline (RFC 9110 §15), for the desk's pages and for programs."""

from milepost.errors import (
    BusyError,
    ConflictError,
    DeliveryError,
    ExtractError,
    FetchError,
    ForbiddenError,
    HeldError,
    MilepostError,
    NotFoundError,
    RenderError,
    StoreError,
)

Statuses = tuple[tuple[type[MilepostError], int], ...]

_STATUSES: Statuses = (  # the first that fits
    (ForbiddenError, 403), (NotFoundError, 404), (BusyError, 503), (ConflictError, 409), (StoreError, 503),
    (HeldError, 409), (RenderError, 422), (ExtractError, 422), (DeliveryError, 502), (FetchError, 502),
)


def status_of(error: MilepostError, own: Statuses, otherwise: int) -> int:
    """The status; `own`: what a door answers in its own way, `otherwise`: what it answers to all else. Pure."""
    return next((status for kind, status in (*own, *_STATUSES) if isinstance(error, kind)), otherwise)
