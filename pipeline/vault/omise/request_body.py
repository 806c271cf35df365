"""Builds the request of `POST /tokens` as bytes that mask themselves and can be wiped.

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


class CardMessage(bytearray):
    """A whole HTTP request that holds a card number: it goes to a socket and shows itself to nobody."""

    __slots__ = ()

    @property
    def number(self) -> memoryview:
        """The card number's digits; they end where the body's last quote and braces begin."""
        end = len(self) - len(_AFTER_NUMBER)
        return memoryview(self)[self.rindex(b'"', 0, end) + 1 : end]

    def wipe(self) -> None:
        """Overwrite the buffer, keeping its length.

        A courtesy, not a proof: the kernel and the TLS layer had copies of their own.
        """
        self[:] = bytes(len(self))

    def __repr__(self) -> str:
        return f"<CardMessage of {len(self)} masked bytes>"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickling, copying and sending to another process all come through here.
        raise TypeError("a request with a card number is never copied, pickled or sent elsewhere")


def encode_card(
    fields: Mapping[str, str | int],
    number: bytes | bytearray | memoryview,
    head: bytes = b"content-length: ",
) -> CardMessage:
    """Give the request for one card.

    Args:
        fields: Everything but the number, under the vault's names: `name`, `expiration_month`,
            `expiration_year`, and what else is known. At least one.
        number: The card number's digits in ASCII.
        head: The request up to the value of `content-length`, its last field.

    Raises:
        ValueError: A field is no text or number, or the number is not all digits.
    """
    try:
        known = orjson.dumps({"card": fields})
    except TypeError:
        raise ValueError("a field of the card is neither text nor a whole number") from None
    body_bytes = (
        len(known) - _CLOSING_BRACES + len(_BEFORE_NUMBER) + len(number) + len(_AFTER_NUMBER)
    )
    message = CardMessage(head)
    message += b"%d\r\n\r\n" % body_bytes
    message += known
    del message[-_CLOSING_BRACES:]
    message += _BEFORE_NUMBER
    start = len(message)
    message += number
    if not message[start:].isdigit():
        message.wipe()
        raise ValueError("the card number is not all digits")
    message += _AFTER_NUMBER
    return message
