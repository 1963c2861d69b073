"""Reads what a form sent, and from where: urlencoded, in UTF-8, not too long, in time, and nothing else."""

import asyncio
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

LONGEST = 64 * 1024  # bytes of a form
SECONDS = 20.0  # for all of it to come
_FIELDS = 1000


async def read_body(request: Request, longest: int = LONGEST) -> bytes:
    """The body; HTTPException 413 for one too long, 408 for one that doesn't come, 400 for one that breaks off."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > longest:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400) from None  # which nobody hears
    return bytes(body)


async def read_form(request: Request, longest: int = LONGEST) -> dict[str, list[str]]:
    """The fields of an urlencoded form; HTTPException 413 for one too long, 400 for one that is none."""
    body = await read_body(request, longest)
    try:
        if longest <= LONGEST:
            return _fields(body)
        return await run_in_threadpool(_fields, body)  # megabytes of %41 take seconds, in which nobody else waits
    except ValueError:
        raise HTTPException(400) from None


def _fields(body: bytes) -> dict[str, list[str]]:
    fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    if any("\0" in text for name, values in fields.items() for text in (name, *values)):
        raise ValueError("NUL, which no database takes")
    return fields


def first_of(form: dict[str, list[str]], name: str) -> str:
    """A field's first value without the space around it; "" where it is missing."""
    return form.get(name, [""])[0].strip()


def host_of(request: Request) -> str | None:
    """The address of whoever asks, as `web.proxies` has found it; None for a connection that has none."""
    return request.client.host if request.client else None
