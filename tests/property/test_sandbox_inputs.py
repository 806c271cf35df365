"""Any input gets an answer that keeps to the description, and ids never repeat."""

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sandbox.id_generator import IdGenerator
from pipeline.sandbox.params import read_form
from tests.support.sandbox import CARD, asked

JSON = st.recursive(
    # Beyond 64 bits the sandbox reads an integer as a float.
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcdefghij_", min_size=1)
FORM = st.recursive(
    st.text(),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))
PARAMETERS = (*CARD, "security_code", "country", "city", "email", "anything")
CARDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.just(CARD.get(name, "th")) | st.integers(0, 99).map(str)
        for name in PARAMETERS
    },
)
PATIENT = settings(deadline=None)
PATHS = ("/tokens", "/customers", "/charges")


@pytest.fixture(scope="module")
def vault():
    with asked() as client:
        yield client


@PATIENT
@given(card=CARDS)
def test_any_card_is_taken_or_refused_in_words(vault, card):
    """No combination of parameters is answered with a bug."""
    status, shown = vault.ask("POST", "/tokens", {"card": card})

    assert (status, shown["object"]) in ((200, "token"), (400, "error"))


@PATIENT
@given(path=st.sampled_from(PATHS), body=st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_answered(vault, path, body):
    """Whatever it holds and wherever it is sent."""
    for content_type in (b"application/json", b"application/x-www-form-urlencoded", b""):
        status, _ = vault.ask("POST", path, body=body, content_type=content_type)

        assert status in (200, 400, 404)


@PATIENT
@given(params=st.dictionaries(st.sampled_from(["card", "metadata", "amount", "email"]), JSON))
def test_any_parameters_of_a_customer_are_answered(vault, params):
    """The metadata that is taken comes back."""
    status, shown = vault.ask("POST", "/customers", params)

    assert status in (200, 400, 404)
    if status == 200 and isinstance(params.get("metadata"), dict):
        assert shown["metadata"] == json.loads(json.dumps(params["metadata"]))


@PATIENT
@given(query=st.binary(), path=st.text(max_size=30), version=st.binary(max_size=12))
def test_any_path_query_and_version_is_answered(vault, query, path, version):
    """An unknown one with an error object."""
    for where in ("/customers", "/charges", "/customers/" + path, "/" + path):
        status, _ = vault.ask("GET", where.replace("?", ""), query=query, version=version)

        assert status in (200, 400, 401, 404)


@PATIENT
@given(credentials=st.binary())
def test_any_credentials_are_answered(vault, credentials):
    """With 401, unless they are a key."""
    assert vault.ask("POST", "/tokens", authorization=b"Basic " + credentials)[0] == 401


def flat(value, prefix=""):
    for name, inner in value.items():
        where = f"{prefix}[{name}]" if prefix else name
        if isinstance(inner, dict):
            yield from flat(inner, where)
        else:
            yield where, inner


@PATIENT
@given(params=FORM)
def test_a_form_is_read_back_as_it_was_nested(params):
    """With brackets encoded, as one client does, or bare, as another."""
    bare = "&".join(f"{name}={quote(value, safe='')}" for name, value in flat(params))

    assert read_form(urlencode(list(flat(params))).encode()) == params
    assert read_form(bare.encode()) == params


@PATIENT
@given(moments=st.lists(st.floats(0, 2e9), min_size=2, max_size=50))
def test_ids_grow_and_never_repeat_whatever_the_clock_does(moments):
    """Not even with a random source that always says the same, nor after a restart."""
    clock = iter(moments)
    made = []
    for _ in moments:
        generator = IdGenerator(
            lambda: next(clock), bytes, f"tokn_test_{made[-1]}" if made else None
        )
        made.append(generator.one())

    assert made == sorted(set(made))
    assert {len(ident) for ident in made} == {19}
