"""The reader's and the validator's rules a second time: slow, one row at a time, nothing shared.

What is written here reads like the rules; what is in `pipeline/` runs fast. Tests compare them.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING

from tests.support.cards import check_digit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.cards.validator import Rules


def slow_records(raw: bytes, width: int, record_bytes_max: int, encoding: str = "utf-8"):
    """Read CSV after its header: each record is its fields, or the code of what is wrong."""
    # One Ctrl-Z or several, and a line end behind them, are the end of the text and no row.
    lines = re.sub(rb"(?<!\x1a)\x1a+(\r\n|\r|\n)?\Z", b"", raw).split(b"\n")
    if not lines[-1]:
        lines.pop()
    records, place, in_doubt = [], 0, False
    while place < len(lines):
        found, taken = _slow_record(lines[place:], width, record_bytes_max, encoding)
        # After a row that could not be read, one counts only if no quote stands inside its fields.
        text = b"\n".join(lines[place : place + taken]).decode(encoding, "replace")
        if in_doubt and found and isinstance(found[0], list) and not _is_clean(text):
            found, taken = _bad_rows(lines[place], encoding)
        if found and isinstance(found[0], list):
            in_doubt = False
        elif found and not _is_of_another_width(lines[place], found, width):
            in_doubt = True
        records += found
        place += taken
    widths = [len(found) for found in records if isinstance(found, list)]
    # One empty field more at the end counts where the first two rows have it, and then in all.
    wanted = width + (widths != [] and min(widths[:2]) > width)
    rows = []
    for found in records:
        if isinstance(found, str) or len(found) == wanted:
            rows.append(found if isinstance(found, str) else found[:width])
        else:
            first, *inner = "".join(found).split("\n")
            rows += ["malformed_row" for line in [first, *inner[-1:]]]
            rows += ["malformed_row" for line in inner[:-1] if line.strip()]
    return rows


def _is_of_another_width(line, found, width):
    """Say whether a row of one line is malformed only for the number of its fields."""
    if found != ["malformed_row"] or _line_code(line, len(line), "utf-8") is not None:
        return False
    try:
        (row,) = _csv([line.decode() + "\n"])
    except (csv.Error, UnicodeDecodeError):
        return False
    return len(row) != width


def _is_clean(text):
    """Say whether fields are plain or quoted from end to end, by looking at each sign."""
    state = "start"
    for sign in text.rstrip("\r\n"):
        if state == "start":
            state = {'"': "quoted", ",": "start", " ": "start"}.get(sign, "plain")
        elif state == "plain":
            if sign == '"':
                return False
            state = "start" if sign == "," else "plain"
        elif state == "quoted":
            state = "closing" if sign == '"' else "quoted"
        elif state == "closing":
            if sign not in '",':
                return False
            state = "quoted" if sign == '"' else "start"
    return state != "quoted"


def _slow_record(lines, width, bytes_max, encoding):
    """Give what these lines begin with (a record, bad rows, or nothing) and how many lines it took."""
    for taken in range(1, len(lines) + 1):
        part = lines[:taken]
        code = _line_code(part[-1], bytes_max, encoding)
        if code is not None or (taken > 1 and sum(map(len, part)) + taken > bytes_max):
            return ([code], 1) if taken == 1 else _bad_rows(lines[0], encoding)
        texts = [line.decode(encoding) for line in part]
        try:
            (row,) = _csv([text + "\n" for text in texts])
        except csv.Error as error:
            if str(error) == "unexpected end of data":
                continue
            break
        try:
            judged = _judged_record(row, texts, width)
        except csv.Error:
            # A line in its middle is none by itself, as a lone CR stands in it.
            judged = None
        return judged or _bad_rows(lines[0], encoding)
    return _bad_rows(lines[0], encoding)


def _judged_record(row, texts, width):
    """Give what a whole record counts for; None for lines that are none together."""
    if len(texts) == 1 and not any(field.strip() for field in row):
        return [], 1
    if len(row) != width and not (len(row) == width + 1 and not row[-1].strip()):
        return (["malformed_row"], 1) if len(texts) == 1 else None
    if len(texts) > 1 and _joined_by_stray_quotes(row, texts, width):
        return ["malformed_row" for text in texts if text.strip()], len(texts)
    return [row], len(texts)


def _csv(lines, *, strict=True):
    return csv.reader(lines, strict=strict, skipinitialspace=True)


def _bad_rows(line: bytes, encoding: str):
    rows = [text for text in line.decode(encoding).split("\r") if text.strip()]
    return ["malformed_row"] * max(1, len(rows)), 1


def _joined_by_stray_quotes(row, texts, width):
    widths = [text.count(",") + 1 for text in texts]
    if width in widths[1:-1] or widths[0] + widths[-1] >= 2 * width - 1:
        return True
    inner = any(len(next(_csv([text], strict=False), [])) == width for text in texts[1:-1])
    notes = [field for field in row if "\n" in field]
    digits = any(re.search("[0-9]{12}", re.sub("(?<=\\d)[ -](?=\\d)", "", note)) for note in notes)
    return inner or digits or any(map(slow_contains_pan, notes))


def _line_code(line: bytes, bytes_max: int, encoding: str) -> str | None:
    if len(line) > bytes_max:
        return "row_too_long"
    if any((byte < 32 and byte not in b"\t\r\n") or byte == 127 for byte in line):
        return "malformed_row"
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return "undecodable_text"
    return None


_BRANDS = (
    (r"4\d{15}", "Visa"),
    (r"(5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720))\d*", "MasterCard"),
    (r"35(2[89]|[3-8])\d*", "JCB"),
    (r"3[47]\d*", "American Express"),
    (r"3(0[0-5]|[689])\d*", "Diners Club"),
    (r"62\d*", "UnionPay"),
    (r"(6011|65|64[4-9])\d*", "Discover"),
    (r"(5[06-8]|6304|6759|676[1-3])\d*", "Maestro"),
    (r"4\d*", "Visa"),
)
_LENGTHS = {
    "Visa": {16},
    "MasterCard": {16},
    "JCB": {16},
    "American Express": {15},
    "Diners Club": {14},
    "UnionPay": {16, 17, 18, 19},
    "Discover": {16, 17, 18, 19},
    "Maestro": set(range(12, 20)),
    "": set(range(12, 20)),
}


def slow_brand(digits: str) -> str:
    """Give the brand by the patterns as they are published."""
    return next((name for rule, name in _BRANDS if re.fullmatch(rule, digits)), "")


def slow_length_fits(digits: str) -> bool:
    """Say whether a number is as long as its brand's numbers are."""
    return len(digits) in _LENGTHS[slow_brand(digits)]


def slow_shape(text: str) -> tuple[str, str]:
    """Give the name of a number's shape and its digits, none unless it is digits."""
    packed = "".join(sign for sign in text if sign not in " \t-")
    if not packed:
        return "MISSING", ""
    if set(packed) <= set("0123456789"):
        return "DIGITS", packed
    if re.fullmatch(r"[0-9]+([.,][0-9]*)?([eE][+]?[0-9]{1,2})?", packed):
        return "DAMAGED", ""
    masked = re.fullmatch(rf"[0-9{_MASKS}]+", packed) and re.search(rf"[{_MASKS}]{{2}}", packed)
    return ("MASKED" if masked else "NOT_DIGITS"), ""


_MASKS = r"*xX#.?_\u2022\u25cf\u00b7\u2217\uff0a\u2026"
_GAPS = {" ", "\t", "-", *map(chr, (0xA0, 0xAD, 0x202F, 0x2060, 0x2212, 0x3000, 0xFEFF))}
_GAPS |= {chr(code) for code in range(0x2000, 0x2016)}
_LENGTHS_IN_TEXT = {
    brand: {length for length in lengths if length > 12} | ({13, 19} if brand == "Visa" else set())
    for brand, lengths in _LENGTHS.items()
    if brand
}


def slow_contains_pan(text: str) -> bool:
    """Say whether a text holds a card number or a track: every stretch of groups is tried."""
    signs = "".join(
        str(unicodedata.decimal(sign)) if unicodedata.decimal(sign, None) is not None else sign
        for sign in text
    )
    signs = re.sub(_IDENTITY, lambda found: _edges(found[0]), signs)
    if re.search(r"[Bb][0-9 ]{12,19}\^", signs) or re.search(r"[0-9]{12,19}=[0-9]{4}", signs):
        return True
    groups, gap = [""], ""
    for sign in signs + "\n":
        if sign in "0123456789" and gap:
            groups, gap = [*groups, sign], ""
        elif sign in "0123456789":
            groups[-1] += sign
        elif sign in _GAPS:
            gap += sign if groups != [""] else ""
        elif _stretch_is_pan(groups):
            return True
        else:
            groups, gap = [""], ""
    return _is_laid_out(signs) or _is_list(signs)


_LAYOUTS = ("4-4-4-1", "4-4-4-2", "4-4-4-3", "4-4-4-4", "4-4-4-4-3", "4-6-4", "4-6-5", "6-13")
_LISTS = [(1, count) for count in range(13, 20)] + [(2, count) for count in (7, 8, 9)]


def _edges(identity: str) -> str:
    """Leave of a UUID or a digest with a letter only the digits at its ends, where they are few."""
    word = identity.replace("-", "")
    if word.isdecimal() or (word != word.lower() and word != word.upper() and "-" not in identity):
        return identity
    head = re.match("[0-9]*", identity)[0]
    tail = re.search("[0-9]*$", identity)[0]
    return f"{head if len(head) < 13 else ''}x{tail if len(tail) < 13 else ''}"


_IDENTITY = r"\b(?:(?:[0-9A-Fa-f]{8}){4,16}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\b"


def _is_list(signs: str) -> bool:
    """Say whether digits, or pairs of them, stand in a list as long as a number, and alone."""
    for sign, (size, count) in itertools.product("._/+", _LISTS):
        digits, between = f"[0-9]{{{size}}}", re.escape(sign)
        listed = (
            rf"(?<![0-9])(?<![0-9]{between}){digits}(?:{between}{digits}){{{count - 1}}}(?![0-9])"
        )
        for found in re.finditer(listed, signs):
            # Beyond twenty groups nobody counts; a group beyond thirteen digits ends a list.
            goes_on = re.match(rf"{between}[0-9]{{1,13}}(?![0-9])", signs[found.end() :])
            if not goes_on and _stretch_is_pan([found[0].replace(sign, "")]):
                return True
    return False


def _is_laid_out(signs: str) -> bool:
    """Say whether groups as cards show them stand there, parted by one of four other signs."""
    digits = set("0123456789")
    for layout in _LAYOUTS:
        sizes = [int(size) for size in layout.split("-")]
        length = sum(sizes) + len(sizes) - 1
        for start in range(len(signs) - length + 1):
            sign = signs[start + sizes[0]]
            groups = signs[start : start + length].split(sign)
            if sign not in "._/+" or [len(group) for group in groups] != sizes:
                continue
            around = signs[max(0, start - 1) : start] + signs[start + length : start + length + 1]
            plain = set("".join(groups)) <= digits and digits.isdisjoint(around)
            if plain and _stretch_is_pan(groups):
                return True
    return False


def _stretch_is_pan(groups: list[str]) -> bool:
    joined = (
        "".join(groups[first:last])
        for first in range(len(groups))
        for last in range(first + 1, len(groups) + 1)
    )
    return any(
        len(digits) in _LENGTHS_IN_TEXT.get(slow_brand(digits), ())
        and check_digit(digits[:-1]) == digits[-1]
        for digits in joined
    )


_NOTHING = ("NULL", "null", "nan", "NaN", "NaT", "None", "undefined")


def slow_code(row: Mapping[str, str], rules: Rules, published: frozenset[str]) -> str | None:
    """Give the code of the first rule that a row breaks, None for a card that may be sent.

    Rows hold canonical names, no card numbers outside the number, no control characters, and of
    countries only codes that are assigned; of damaged texts, words that mean nothing.
    """
    if len(row["legacy_id"]) > 255:
        return "malformed_row"
    if not row["legacy_id"]:
        return "legacy_id_missing"
    if row["legacy_id"] in _NOTHING:
        return "value_damaged"
    return (
        _number_code(row["number"], rules)
        or _expiration_code(row, rules)
        or _text_code(row)
        or ("value_damaged" if row["name"] in _NOTHING else None)
        or _mode_code(row["number"], rules, published)
    )


def _number_code(text: str, rules: Rules) -> str | None:
    digits = text.replace(" ", "").replace("-", "").replace("\t", "")
    if not digits:
        return "number_missing"
    if re.fullmatch(r"[0-9]+", digits) is None:
        if re.fullmatch(r"[0-9]+([.,][0-9]*)?([eE][+]?[0-9]{1,2})?", digits):
            return "number_damaged"
        masked = re.fullmatch(r"[0-9*xX#.?_•]+", digits) and re.search(r"[*xX#.?_•]{2}", digits)
        return "number_masked" if masked else "number_not_digits"
    brand = slow_brand(digits)
    if len(digits) not in _LENGTHS[brand]:
        return "number_length"
    if check_digit(digits[:-1]) != digits[-1]:
        return "number_checksum"
    return None if brand in rules.brands else "brand_unsupported"


def _expiration_code(row: Mapping[str, str], rules: Rules) -> str | None:
    month, year = row["expiration_month"], row["expiration_year"]
    if not re.fullmatch("[0-9]{1,2}", month) or not 1 <= int(month) <= 12:
        return "expiration_invalid"
    if not re.fullmatch("[0-9]{2}|[0-9]{4}", year):
        return "expiration_invalid"
    full_year = int(year) if len(year) == 4 else 2000 + int(year)
    if not 1950 <= full_year <= rules.as_of.year + 50:
        return "expiration_invalid"
    over = (full_year, int(month)) < (rules.as_of.year, rules.as_of.month)
    return "card_expired" if over and rules.expired == "reject" else None


def _text_code(row: Mapping[str, str]) -> str | None:
    if not row["name"]:
        return "name_missing"
    if len(row["name"]) > 255:
        return "name_too_long"
    country = row.get("country", "")
    if country and re.fullmatch("[A-Za-z]{2,3}", country) is None:
        return "country_invalid"
    return None


def _mode_code(text: str, rules: Rules, published: frozenset[str]) -> str | None:
    known = text.replace(" ", "").replace("-", "") in published
    if rules.livemode:
        return "test_card_in_live_mode" if known else None
    return None if known or rules.loopback_vault else "real_card_in_test_mode"
