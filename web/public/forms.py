"""Reads what a form sent: urlencoded, not too long, and nothing else."""

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST = 64 * 1024  # bytes of a form
_FIELDS = 1000


async def read_body(request: Request, longest: int = LONGEST) -> bytes:
    """The body; HTTPException 413 for one too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise HTTPException(413)
    return body


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields of an urlencoded form; HTTPException 413 for one too long, 400 for one that is none."""
    body = await read_body(request)
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        raise HTTPException(400) from None
