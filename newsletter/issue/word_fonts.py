"""Which font of a list Outlook on Windows is asked for: it shows mails by Word, which knows the first one or none."""

# What Windows or Office bring along, in lower case.
_BROUGHT = frozenset({
    "aptos", "arial", "arial black", "bookman old style", "calibri", "cambria", "candara", "century gothic",
    "comic sans ms", "consolas", "constantia", "corbel", "courier new", "garamond", "georgia", "impact",
    "lucida console", "palatino linotype", "segoe ui", "tahoma", "times new roman", "trebuchet ms", "verdana",
})


def word_font(stack: str) -> str:
    """Of a list of fonts the first that Word has; "" where that is the first one anyway, or none."""
    names = [name.strip() for name in stack.split(",")]
    found = next((name for name in names if name.lower() in _BROUGHT), "")
    return "" if found == names[0] else found
