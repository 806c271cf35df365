"""Has card numbers opened that are sealed one by one as JWE compact; the child holds the key."""

from __future__ import annotations

import json
import queue
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.errors import KeyUnusable
from pipeline.exports.decryptor.process import Decryptor
from pipeline.exports.engine import prepared_for_numbers
from pipeline.exports.verdict import WORDS, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.exports.keys import NumberKey

_SEALED: Final = re.compile(r"eyJ[\w-]*\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_AT_ONCE: Final = 100
"""Values that are asked for at once: their answers fit into a pipe, so that nobody waits."""

_STALL_S: Final = 120.0


class NumberOpener:
    """Opens the sealed numbers of an export, some at a time.

    Args:
        decryptor: The child that opens them.
        questions: Feeds it.
    """

    def __init__(self, decryptor: Decryptor, questions: queue.SimpleQueue[bytes | None]) -> None:
        self._decryptor = decryptor
        self._questions = questions
        self._answers = b""
        self._any_opened = False

    def opened(self, texts: Sequence[str]) -> list[str]:
        """Give the numbers of a column; what is not sealed, or does not open, stays as it is.

        Raises:
            KeyUnusable: The key cannot be used, or opens none of the first values.
        """
        found = list(texts)
        places = [at for at, text in enumerate(texts) if _SEALED.fullmatch(text)]
        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            for place, number in zip(part, self._asked([texts[at] for at in part]), strict=True):
                if number is not None:
                    found[place] = number.strip()
                    self._any_opened = True
        if places and not self._any_opened:
            raise KeyUnusable(
                "none of its sealed numbers opens with export.number_key",
                next_step="Compare the key with the one that the sender was given.",
            )
        return found

    def _asked(self, tokens: list[str]) -> list[str | None]:
        self._questions.put("\n".join([*tokens, "", ""]).encode())
        try:
            while self._answers.count(b"\n") < len(tokens):
                self._answers += self._read()
        except Refused as refused:
            raise _worded(refused.verdict) from None
        *lines, self._answers = self._answers.split(b"\n", len(tokens))
        return [json.loads(line) for line in lines]

    def _read(self) -> bytes:
        block = self._decryptor.read()
        if not block:
            # It ends early for one reason only: the key. Its feeder waits for a last word.
            self._questions.put(None)
            raise Refused(self._decryptor.end().verdict)
        return block


@contextmanager
def opening_numbers(key: NumberKey) -> Iterator[NumberOpener]:
    """Start the child that opens sealed numbers with this key.

    Raises:
        SettingsRefused: The key file cannot be used.
        KeyUnusable: No child can be started.
    """
    questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with prepared_for_numbers(key) as request:
        try:
            decryptor = Decryptor(request, iter(questions.get, None), stall_s=_STALL_S)
        except Refused as refused:
            raise _worded(refused.verdict) from None
        with decryptor:
            try:
                yield NumberOpener(decryptor, questions)
            finally:
                # The thread that feeds the child waits for a word.
                questions.put(None)


_WORDS: Final = {
    Verdict.KEY_UNUSABLE: (
        "export.number_key holds no private key that can be read",
        "Point it at a private key for JWE, as JWK or PEM (RSA, EC or X25519).",
    ),
    Verdict.PASSPHRASE_NEEDED: (
        "export.number_key is protected by a passphrase",
        "Take the passphrase off a copy that only you can read (openssl pkey).",
    ),
}


def _worded(verdict: Verdict) -> KeyUnusable:
    message, next_step = _WORDS.get(verdict) or WORDS[verdict]
    return KeyUnusable(message, next_step=next_step)
