"""Cells that a spreadsheet would run as a formula: made plain text on the way out, and as they were on the way in.

    =cmd|…  ⇄  '=cmd|…        '=x  ⇄  ''=x
"""

import re

# https://owasp.org/www-community/attacks/CSV_Injection: these begin a formula, in full width too.
_LIVE = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")


def escape(cell: str) -> str:
    """`cell` with an apostrophe before it when a spreadsheet would run it, or would once `unescape` took one away."""
    return f"'{cell}" if _LIVE.match(cell) else cell


def unescape(cell: str) -> str:
    """What `escape` was given: one apostrophe less, where one stands before what would be run."""
    return cell[1:] if cell.startswith("'") and _LIVE.match(cell) else cell
