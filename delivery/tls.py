"""Whom a connection trusts, when an operator names an authority of their own."""

import ssl

from milepost.errors import SettingsError


def trusting(cafile: str | None, *, where: str) -> ssl.SSLContext:
    """A client's context that checks certificates and names, by the authorities in `cafile` (None: the system's).

    Raises SettingsError, naming the setting `where`, for a file that holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # ssl.SSLError is one: not a certificate
        raise SettingsError(
            f"the authority {cafile} can't be used ({error.strerror or error})", where=where,
            hint="Want a file of PEM certificates.",
        ) from None
