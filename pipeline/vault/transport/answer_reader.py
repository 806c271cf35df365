"""Reads one whole, bounded HTTP/1.1 answer as its bytes arrive."""

from __future__ import annotations

from typing import Final, NamedTuple

import httptools

HEADER_BYTES_MAX: Final = 64 * 1024
"""No answer's header is longer; past it the answer is refused."""

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""A page of a hundred customers with twenty cards each takes 1.5 MB; past this it is refused."""

INTERIM_ANSWERS_MAX: Final = 8
"""1xx answers that may precede the real one."""

_FIRST_FINAL_STATUS: Final = 200


class Answer(NamedTuple):
    """A whole answer: status, header fields with lower-case names, body as it came."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class InvalidAnswer(Exception):
    """The bytes are not one HTTP/1.1 answer within our bounds."""


class AnswerReader:
    """Reads one answer after another from one connection."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_fields",
        "_interim",
        "_parser",
        "_raw_fields",
        "_received",
        "_status",
        "keep_alive",
        "on_body",
        "on_header",
    )

    def __init__(self) -> None:
        self._raw_fields: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        # The parser calls these two with its pieces; a C method instead of ours saves a frame each.
        self.on_header = self._raw_fields.__setitem__
        self.on_body = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Forget the answer that was read and expect the next."""
        self._fields: dict[bytes, bytes] | None = None
        self._status = 0
        self._received = 0
        self._interim = 0
        self._complete = False
        self.keep_alive = False
        self._raw_fields.clear()
        self._chunks.clear()

    def feed(self, piece: bytes) -> Answer | None:
        """Take the next bytes; give the answer if they end it. After one, the next is expected.

        Raises:
            InvalidAnswer: Junk, too long, too many 1xx, or more than one answer. A piece that goes
                on after a whole answer is refused with it: the true answer may be the second.
        """
        if self._complete:
            self.reset()
        self._received += len(piece)
        try:
            self._parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise InvalidAnswer from None
        if self._complete:
            return self._answer()
        if self._received > (HEADER_BYTES_MAX if self._fields is None else ANSWER_BYTES_MAX):
            raise InvalidAnswer
        return None

    def end(self) -> Answer | None:
        """Give the answer that the end of the connection ends, if there is one (HTTP/1.0)."""
        fields = self._fields
        if fields is None or b"content-length" in fields or b"transfer-encoding" in fields:
            return None
        return self._answer()

    def _answer(self) -> Answer:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Answer(self._status, self._fields or {}, body)

    # What the parser calls, beside `on_header` and `on_body`.

    def on_message_begin(self) -> None:
        """Refuse a second answer in the bytes that ended the first."""
        if self._complete:
            raise InvalidAnswer

    def on_headers_complete(self) -> None:
        """Keep status and fields before a trailer could change them."""
        self._status = self._parser.get_status_code()
        self._fields = {name.lower(): value for name, value in self._raw_fields.items()}

    def on_message_complete(self) -> None:
        """Note the end of the answer, or step over an interim one."""
        if self._status >= _FIRST_FINAL_STATUS:
            self._complete = True
            self.keep_alive = self._parser.should_keep_alive()
            return
        self._interim += 1
        if self._interim > INTERIM_ANSWERS_MAX:
            raise InvalidAnswer
        self._fields = None
        self._raw_fields.clear()
