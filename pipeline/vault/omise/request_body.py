"""The body of `POST /tokens`: a card's fields and its number in, wipeable JSON bytes out.

The number goes from one buffer into another and is never a `str`: strings cannot be wiped and
turn up in tracebacks. Fields as OMISE.md 1.1 lists them; a security code is never among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEFORE_NUMBER: Final = b',"number":"'
_AFTER_NUMBER: Final = b'"}}'
_CLOSING_BRACES: Final = 2


class CardBody(bytearray):
    """Bytes of a request that hold a card number: they go to a socket and show themselves to nobody."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<CardBody of {len(self)} masked bytes>"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickling, copying and sending to another process all come through here.
        raise TypeError("a request with a card number is never copied, pickled or sent elsewhere")


def encode_card(
    fields: Mapping[str, str | int], number: bytes | bytearray | memoryview
) -> CardBody:
    """Give the JSON body for one card, as a buffer that `wipe` can clear.

    Args:
        fields: Everything but the number, under the vault's names: `name`, `expiration_month`,
            `expiration_year`, and what else is known. At least one.
        number: The card number's digits in ASCII.

    Raises:
        ValueError: A field is no text or number, or the number is not all digits.
    """
    try:
        body = CardBody(orjson.dumps({"card": fields}))
    except TypeError:
        raise ValueError("a field of the card is neither text nor a whole number") from None
    del body[-_CLOSING_BRACES:]
    body += _BEFORE_NUMBER
    start = len(body)
    body += number
    if not body[start:].isdigit():
        wipe(body)
        raise ValueError("the card number is not all digits")
    body += _AFTER_NUMBER
    return body


def wipe(body: bytearray) -> None:
    """Overwrite a buffer that held a card number, keeping its length.

    A courtesy, not a proof: the kernel and the TLS layer had copies of their own.
    """
    body[:] = bytes(len(body))
