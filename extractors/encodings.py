"""The encodings of the web: labels by the WHATWG Encoding Standard, and decoders where Python's own differ; pure.

Labels are those of the library webencodings, which gives each a Python codec. Those codecs were compared with the
standard's own tables; what differs in signs that pages use is mended here (https://encoding.spec.whatwg.org/#indexes).
"""

import codecs
import re

import webencodings

_REPLACED = "replacement"  # what the standard calls encodings that are a danger to read
_MOST_GAPS = 10_000  # spots that Python's codec can't read; with more the page is not in that encoding
_DECODED_BY = {"gbk": "gb18030"}  # by the standard, one decoder reads both
_DIFFERENT = {  # what Python's codec reads → what the standard does
    "gb18030": str.maketrans(  # signs that had no place in Unicode when the codec was made
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796"
        "\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18\ufe19"
        "\u1e3f\u9fb4\u9fb5\u9fb6\u9fb7\u9fb8\u9fb9\u9fba\u9fbb",
    ),
    "euc_jp": str.maketrans("〜‖−¢£¬", "～∥－￠￡￢"),
    "big5hkscs": str.maketrans("•､‾∼♁☉¥¢£", "‧﹑¯～⊕⊙￥￠￡"),
    "koi8-u": str.maketrans("╝╬", "ўЎ"),
}
_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")
_HIGH = bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in range(256))
_ROMAN = str.maketrans("\\~", "¥‾")


def encoding_of(label: str) -> str | None:
    """The standard's name of the encoding that `label` means ("gb2312" → "gbk"); None for what is no label."""
    found = webencodings.lookup(label) if label.isascii() else None
    return None if found is None else str(found.name)


def decode_as(name: str, body: bytes, *, strictly: bool) -> str:
    """`body` in the encoding of this name; what can't be decoded becomes U+FFFD, or `strictly` raises ValueError."""
    if name == "utf-8":
        return body.decode("utf-8", "strict" if strictly else "replace")
    if name == _REPLACED:
        return "\ufffd" if body else ""
    if name == "iso-2022-jp":
        return _iso_2022_jp(body, strictly=strictly)
    return _decoded(name, body, strictly=strictly)


def _decoded(name: str, body: bytes, *, strictly: bool) -> str:
    codec = webencodings.lookup(_DECODED_BY.get(name, name)).codec_info
    text: str = codec.decode(body, "replace")[0]
    gaps = text.count("\ufffd")
    if gaps > _MOST_GAPS and strictly:
        raise ValueError(f"{gaps} spots are not {name}")
    if 0 < gaps <= _MOST_GAPS:
        text = codec.decode(body, "milepost.strict" if strictly else "milepost.lenient")[0]
    return text.translate(_DIFFERENT[codec.name]) if codec.name in _DIFFERENT else text


def _iso_2022_jp(body: bytes, *, strictly: bool) -> str:
    """Each stretch between two escape sequences, as the other Japanese encodings have it."""
    plain, *rest = _ESCAPE.split(body)
    parts = [plain.decode("ascii", "strict" if strictly else "replace")]
    for escape, piece in zip(rest[::2], rest[1::2], strict=True):
        if not piece:
            continue
        if escape in (b"$B", b"$@"):
            parts.append(_decoded("euc-jp", piece.translate(_HIGH), strictly=strictly))
        elif escape == b"(I":
            parts.append(_decoded("shift_jis", piece.translate(_HIGH), strictly=strictly))
        else:
            text = piece.decode("ascii", "strict" if strictly else "replace")
            parts.append(text.translate(_ROMAN) if escape == b"(J" else text)
    return "".join(parts)


def _filled(error: UnicodeDecodeError) -> tuple[str, int] | None:
    """What the standard has where Python's table has a gap."""
    start, spot = error.start, error.object[error.start : error.start + 2]
    if error.encoding == "gb18030" and spot[0] == 0x80:
        return "€", start + 1
    if error.encoding == "euc_jp" and len(spot) == 2 and all(0xA1 <= byte <= 0xFE for byte in spot):
        # rows of NEC and IBM, which Python has in its Shift_JIS of Windows only
        lead, trail = divmod((spot[0] - 0xA1) * 94 + spot[1] - 0xA1, 188)
        shifted = bytes((lead + (0x81 if lead < 0x1F else 0xC1), trail + (0x40 if trail < 0x3F else 0x41)))
        text = shifted.decode("cp932", "ignore")
        return (text, start + 2) if text else None
    return None


def _strict(error: UnicodeError) -> tuple[str, int]:
    filled = _filled(error) if isinstance(error, UnicodeDecodeError) else None
    if filled is None:
        raise error
    return filled


def _lenient(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    byte = error.object[error.start]
    if error.encoding == "charmap" and 0x80 <= byte <= 0x9F:  # windows-125x: a control sign, not damage
        return chr(byte), error.start + 1
    return _filled(error) or ("\ufffd", error.end)


codecs.register_error("milepost.strict", _strict)
codecs.register_error("milepost.lenient", _lenient)
