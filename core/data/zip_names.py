"""Names in a zip as they were meant: the format has a mark for UTF-8, and many programs do without it."""

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

# What a name without the mark may be, in the order in which equally likely ones are preferred.
ENCODINGS = {
    "utf-8": "UTF-8",
    "cp437": "DOS, Western",
    "cp850": "DOS, Western Europe",
    "cp1252": "Windows, Western",
    "gb18030": "Chinese, GBK",
    "cp932": "Japanese, Shift-JIS",
    "cp949": "Korean",
    "big5": "Chinese, Big5",
    "cp866": "DOS, Cyrillic",
    "cp1251": "Windows, Cyrillic",
    "cp852": "DOS, Central Europe",
    "cp1250": "Windows, Central Europe",
    "cp1253": "Windows, Greek",
    "cp874": "Thai",
}
_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075  # an extra field of Info-ZIP's: the name once more, in UTF-8
_SCORED_NAMES = 400
_SURE_SYLLABLES = 4
_SURE_BYTES = 3  # continuation bytes of different letters that all fit UTF-8


def decoded_names(entries: Sequence[zipfile.ZipInfo], encoding: str) -> list[str]:
    """The names of entries as they were read by `zipfile`, decoded by `encoding` where they have no mark.

    A byte that the encoding does not have becomes the letter of code page 437, so that names stay different.
    """
    return [_decoded(entry, encoding) for entry in entries]


def likely_encodings(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The encodings that all names without a mark can have, the likeliest first.

    UTF-8 comes first where it is possible, and alone if the names hold enough to be sure of it: few texts in
    another encoding happen to be valid UTF-8, but the two bytes of one Chinese letter can be. Empty if the
    names leave nothing open, since they have the mark, or letters of ASCII only.
    """
    raw = [name for entry in entries if (name := _raw_name(entry)) is not None and not name.isascii()]
    if not raw:
        return []
    valid = all(_decodes(name, "utf-8") for name in raw)
    letters = {letter for name in raw for letter in name.decode()} if valid else set()
    if sum(len(letter.encode()) - 1 for letter in letters) >= _SURE_BYTES:
        return ["utf-8"]
    possible = [e for e in ENCODINGS if e != "utf-8" and all(_decodes(name, e) for name in raw)]
    sample = raw[:: max(1, len(raw) // _SCORED_NAMES)]
    by_score = sorted(possible, key=lambda e: sum(_strangeness(name.decode(e), e) for name in sample))
    if "cp949" in possible and by_score[0] in ("gb18030", "big5", "cp874") and _is_hangul(sample):
        by_score.insert(0, by_score.pop(by_score.index("cp949")))
    return ["utf-8", *by_score] if valid else by_score


def _decoded(entry: zipfile.ZipInfo, encoding: str) -> str:
    given = _unicode_path(entry)
    if given is not None:
        return given
    raw = _raw_name(entry)
    if raw is None or raw.isascii():
        return entry.orig_filename
    for each in (encoding, "utf-8"):
        if _decodes(raw, each):
            return raw.decode(each)
    return entry.orig_filename


def _raw_name(entry: zipfile.ZipInfo) -> bytes | None:
    """A name's bytes, if the zip does not say what they mean."""
    if entry.flag_bits & _UTF8_FLAG or _unicode_path(entry) is not None:
        return None
    return entry.orig_filename.encode("cp437", errors="replace")


def _unicode_path(entry: zipfile.ZipInfo) -> str | None:
    extra = entry.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            raw = entry.orig_filename.encode("cp437", errors="replace")
            if struct.unpack_from("<I", field, 1)[0] == zlib.crc32(raw) and _decodes(field[5:], "utf-8"):
                return field[5:].decode()
    return None


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_hangul(names: Sequence[bytes]) -> bool:
    """Whether all that is not ASCII is Korean syllables, and more of it than Chinese could be by chance."""
    letters = {letter for name in names for letter in name.decode("cp949") if not letter.isascii()}
    return len(letters) >= _SURE_SYLLABLES and all("\uac00" <= letter <= "\ud7a3" for letter in letters)


def _strangeness(name: str, encoding: str) -> float:
    """How much in a name no one would write: signs, scripts and capitals that change within a word."""
    strange = 0.0
    before, last = "", ""
    for letter in name:
        script = before
        if letter.isascii():
            script = "LATIN" if letter.isalpha() else ""
        elif unicodedata.category(letter)[0] == "L":
            script = unicodedata.name(letter, "UNKNOWN").split()[0]
            strange += script in ("HALFWIDTH", "UNKNOWN", "MODIFIER")
            strange += _is_rare(letter, script, encoding)
            script = "CJK" if script in _EAST_ASIAN else script
        elif unicodedata.category(letter)[0] != "M":
            script = ""
            strange += 1
        strange += bool(script and before and script != before)
        if script == before:
            strange += last.islower() and letter.isupper()
            strange += script == "LATIN" and not last.isascii() and not letter.isascii()
        before, last = script, letter
    return strange


_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


def _is_rare(letter: str, script: str, encoding: str) -> float:
    """What a letter counts that an encoding has, and its language hardly uses."""
    if script in ("HIRAGANA", "KATAKANA"):
        return 0.0 if encoding == "cp932" else 1.0
    if script in ("CJK", "HANGUL"):
        first = letter.encode(encoding)[0]
        low, high = _USUAL_FIRST_BYTES.get((encoding, script), (256, 256))
        return 0.25 if low <= first <= high else 0.75
    return 0.15 if script == "THAI" else 0.0


# Where an encoding keeps the letters that are used most.
_USUAL_FIRST_BYTES = {
    ("gb18030", "CJK"): (0xB0, 0xD7), ("big5", "CJK"): (0xA4, 0xC6), ("cp932", "CJK"): (0x88, 0x97),
    ("cp949", "HANGUL"): (0xB0, 0xC8),
}  # fmt: skip
