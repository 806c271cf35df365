"""What is packed for PostgreSQL is what the server takes it for."""

import psycopg
import pytest
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format

from pipeline.ledger.postgres.arrays import bigint, bigints, integers, texts, words
from tests.support import postgres

ODD = ["", " ", "ไทย", '"quoted"', "back\\slash", "{1,2}", "NULL", None, "line\nend", "\U0001f98a"]


@pytest.fixture
def line():
    with psycopg.connect(postgres.server().url(), autocommit=True) as connection:
        yield connection


def asked(line, kind, packed):
    return line.pgconn.exec_params(
        f"SELECT to_json($1::{kind})".encode(), [packed], param_formats=[Format.BINARY]
    )


def taken_for(line, kind, packed):
    """Give what the server takes some bytes for."""
    answer = asked(line, kind, packed)
    assert answer.status == ExecStatus.TUPLES_OK
    told = answer.get_value(0, 0).decode()
    return line.execute("SELECT %s::json", (told,)).fetchone()[0]


@pytest.mark.parametrize("numbers", [[], [0], [-1, 2**31 - 1, -(2**31), 7] * 200])
def test_numbers_arrive_as_they_are(line, numbers):
    """None, one, or more than a batch has; negative ones as well."""
    big = [number * 2**31 for number in numbers]

    assert taken_for(line, "bigint[]", bigints(big)) == big
    assert taken_for(line, "integer[]", integers(numbers)) == numbers
    assert taken_for(line, "bigint", bigint(2**62)) == 2**62


@pytest.mark.parametrize("pack", [texts, words])
@pytest.mark.parametrize("values", [[], [None], ["x" * 1000], ODD * 60])
def test_texts_arrive_as_they_are(line, pack, values):
    """Nothing in a text is taken for a sign of an array, and what is absent stays so."""
    assert taken_for(line, "text[]", pack(values)) == values


@pytest.mark.parametrize("pack", [texts, words])
def test_a_text_that_the_server_cannot_hold_is_refused_by_it(line, pack):
    """It is not cut off where C would end it."""
    refusal = error_from_result(asked(line, "text[]", pack(["a\0b"])))

    assert isinstance(refusal, psycopg.errors.CharacterNotInRepertoire)
