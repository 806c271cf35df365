"""Every fuzz target by its name: the claim, inputs to start from, and how often it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.exports.openpgp_head import looks_like_message
from tests.fuzz import answers, card_numbers, envelopes, readers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUNS = 200_000
SLOW_RUNS = 40_000
"""For claims that take a millisecond, as every frame does, or that the search keeps memory for."""
ANSWER_BYTES = 1000


class Target(NamedTuple):
    """A claim about any bytes, bytes to start from, and how many are tried."""

    claim: Callable[[bytes], None]
    seeds: Sequence[bytes]
    runs: int = RUNS
    bytes_max: int = 300


def _broken(given: bytes) -> None:
    assert not looks_like_message(given)


BROKEN = Target(_broken, [b"id,number"])
"""Not true of every input; a search must find out."""

TARGETS = {
    "csv_rows": Target(readers.csv_rows, readers.CSV_SEEDS),
    "csv_header": Target(readers.csv_header, readers.HEADER_SEEDS),
    "json_lines": Target(readers.json_lines, readers.JSON_SEEDS),
    "json_line": Target(readers.json_line, readers.LINE_SEEDS),
    "whole_export": Target(readers.whole_export, readers.EXPORT_SEEDS, SLOW_RUNS),
    "column_of_numbers": Target(card_numbers.column_of_numbers, card_numbers.COLUMN_SEEDS),
    "number_in_text": Target(card_numbers.number_in_text, card_numbers.TEXT_SEEDS),
    "number_in_bytes": Target(card_numbers.number_in_bytes, card_numbers.BYTES_SEEDS, SLOW_RUNS),
    "retry_after": Target(answers.retry_after, answers.RETRY_SEEDS),
    "token_body": Target(answers.token_body, answers.TOKEN_SEEDS, bytes_max=ANSWER_BYTES),
    "whole_answer": Target(answers.whole_answer, answers.ANSWER_SEEDS, bytes_max=ANSWER_BYTES),
    "openpgp_head": Target(envelopes.openpgp_head, envelopes.HEAD_SEEDS),
    "age_head": Target(envelopes.age_head, envelopes.AGE_SEEDS),
    "envelope_kind": Target(envelopes.envelope_kind, envelopes.KIND_SEEDS),
    "gpg_status": Target(envelopes.gpg_status, envelopes.STATUS_SEEDS, bytes_max=ANSWER_BYTES),
}
