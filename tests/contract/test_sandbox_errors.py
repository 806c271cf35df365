"""Errors: keys, paths, bodies and versions that the vault does not take."""

import pytest

from pipeline.sandbox.accounts import Account, KeysRefused, pair_keys
from pipeline.sandbox.assumptions import AssumptionRefused, read_assumptions
from pipeline.sandbox.refusals import ERRORS_PAGE
from tests.support.sandbox import asked, basic, card

FORM = b"application/x-www-form-urlencoded"


@pytest.fixture
def vault():
    with asked() as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "credentials"),
    [
        ("POST", "/tokens", basic("skey_test_x")),
        ("GET", "/tokens/tokn_test_x", basic("skey_test_x")),
        ("POST", "/customers", basic("pkey_test_x")),
        ("GET", "/charges", basic("pkey_test_x")),
        ("POST", "/tokens", basic("pkey_test_0000000000000000000")),
        ("POST", "/tokens", ""),
        ("POST", "/tokens", "Bearer pkey_test_x"),
        ("POST", "/tokens", "Basic %%%"),
        ("POST", "/tokens", "Basic"),
    ],
)
def test_each_path_takes_its_own_kind_of_key(vault, method, path, credentials):
    """Anything else is 401 authentication_failure, whatever the body says."""
    expected = {
        "object": "error",
        "location": f"{ERRORS_PAGE}authentication-failure",
        "code": "authentication_failure",
        "message": "authentication failed",
    }

    answer = vault.ask(method, path, {"card": card()}, authorization=credentials.encode())

    assert answer == (401, expected)


@pytest.mark.parametrize(
    "credentials",
    [b"basic cGtleV90ZXN0X3g6", b"Basic cGtleV90ZXN0X3g=", b"Basic cGtleV90ZXN0X3g6eA=="],
)
def test_a_key_may_come_without_colon_or_with_a_password(vault, credentials):
    """Only the user name counts, and the scheme's case does not."""
    status, _ = vault.ask("POST", "/tokens", {"card": card()}, authorization=credentials)

    assert status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing-here"),
        ("GET", "/tokens"),
        ("DELETE", "/tokens/tokn_test_x"),
        ("PUT", "/customers/cust_test_x"),
        ("GET", "/customers/cust_test_x/cards/card_test_x/more"),
        ("POST", "/customers/cust_test_x/capture"),
    ],
)
def test_an_unknown_path_or_method_is_a_json_error(vault, method, path):
    """404 not_found, as an error object that every client can read."""
    status, error = vault.ask(method, path)

    assert (status, error["object"], error["code"]) == (404, "error", "not_found")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/tokens/tokn_test_nope", "token tokn_test_nope was not found"),
        ("/customers/cust_x", "customer cust_x was not found"),
        ("/customers/cust_x/cards/card_x", "customer cust_x was not found"),
        ("/charges/chrg_x", "charge chrg_x was not found"),
    ],
)
def test_what_is_not_there_is_named_by_noun_and_id(vault, path, message):
    """The noun is lower-case, the status 404."""
    status, error = vault.ask("GET", path)

    assert (status, error["message"]) == (404, message)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"card": {"name": "x"', b"application/json"),
        (b"[]", b"application/json"),
        (b'"4242"', b"application/json;utf-8"),
        (b"\xff\xfe", b"application/json"),
        (b"[" * 5_000, b"application/json"),
        (b"[" * 200 + b"]" * 200, b"application/json"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, b"application/json"),
        (b"card%5Bname%5D=%ff", FORM),
        (b"card%5Bname%5D=%zz", FORM),
        (b"card%5Bname%5D=100%", FORM),
        (b"card[name=x", FORM),
        (b"[name]=x", FORM),
        (b"card=x&card[name]=y", FORM),
        (b"card[][name]=x&card[name]=y", FORM),
        (b"a" + b"[b]" * 30 + b"=c", FORM),
        (b"&".join(b"a%d=b" % index for index in range(1_001)), FORM),
        (b"\xe9=x", FORM),
        (b"name=x", b"text/plain"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(vault, body, content_type):
    """400 bad_request, and nothing of the body comes back."""
    status, error = vault.ask("POST", "/tokens", body=body, content_type=content_type)

    assert (status, error["code"]) == (400, "bad_request")
    assert "name" not in error["message"].replace("parameter name", "")


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"application/json; charset=utf-8", b"application/json;utf-8", b""],
)
def test_json_is_known_by_the_beginning_of_its_media_type(vault, content_type):
    """One client sends an invalid parameter, some send none."""
    status, _ = vault.ask("POST", "/tokens", {"card": card()}, content_type=content_type)

    assert status == 200


@pytest.mark.parametrize("content_type", [FORM, FORM + b"; charset=utf-8", b""])
def test_forms_nest_with_brackets_encoded_or_not(vault, content_type):
    """`card[name]`, `card%5Bname%5D`, `metadata[a][b]` and `a[]` are read alike."""
    body = b"metadata%5Ba%5D%5Bb%5D=1+2&metadata[c][]=x&metadata[c][]=y&email=a%40b.c"
    _, customer = vault.ask("POST", "/customers", body=body, content_type=content_type)

    assert customer["metadata"] == {"a": {"b": "1 2"}, "c": ["x", "y"]}
    assert customer["email"] == "a@b.c"


def test_a_form_may_hold_letters_as_they_are(vault):
    """The documented curl lines send them without percent signs unless it is told otherwise."""
    body = "email=a@b.c&description=สมชาย 山田".encode()
    _, customer = vault.ask("POST", "/customers", body=body, content_type=FORM)

    assert customer["description"] == "สมชาย 山田"


def test_a_get_does_not_mind_any_body(vault):
    """Clients send bodies with GET that mean nothing."""
    token = vault.token()
    path = f"/tokens/{token['id']}"
    bodies = (b"{}", b"null", b"{broken", b"\xff")
    answers = [vault.ask("GET", path, body=body) for body in bodies]

    assert answers == [(200, token)] * 4


@pytest.mark.parametrize("path", ["/tokens/", "//tokens", "/tokens//"])
def test_slashes_too_many_do_not_matter(vault, path):
    """The PHP client posts to `/tokens/`."""
    assert vault.ask("POST", path, {"card": card()}, key="pkey_test_x")[0] == 200


def test_the_limit_counts_by_account_and_address():
    """One pair that has spent its burst does not slow another."""
    accounts = pair_keys(("pkey_test_a", "pkey_test_b"), ())
    with asked(accounts=accounts, rate_per_s=0.01, burst=3) as vault:

        def ask(key, address):
            return vault.ask("GET", "/tokens/x", key=key, address=address)[0]

        spent = [ask("pkey_test_a", "10.0.0.1") for _ in range(5)]
        others = [ask("pkey_test_a", "10.0.0.2"), ask("pkey_test_b", "10.0.0.1")]

    assert spent == [404, 404, 404, 429, 429]
    assert others == [404, 404]


def test_a_wrong_key_is_not_counted_against_the_limit():
    """Only requests that were let in by their key take a turn."""
    with asked(rate_per_s=0.01, burst=1) as vault:
        wrong = [vault.ask("POST", "/tokens", key="pkey_test_wrong")[0] for _ in range(3)]
        right = vault.ask("GET", "/tokens/x")[0]

    assert (wrong, right) == ([401] * 3, 404)


@pytest.mark.parametrize(
    ("public", "secret"),
    [
        (("skey_test_a",), ()),
        (("pkey_test_a",), ("skey_b",)),
        (("pkey_test_a", "pkey_test_a"), ()),
        (("key",), ("key",)),
    ],
)
def test_keys_that_make_no_account_are_refused(public, secret):
    """By kind, by mode and by being shared; the message never holds a key."""
    with pytest.raises(KeysRefused) as refused:
        pair_keys(public, secret)

    assert "_a" not in str(refused.value)


def test_a_lone_key_gets_a_partner_of_the_same_ending():
    """So that one option is enough to start."""
    (account,) = pair_keys(("pkey_test_a",), ())

    assert account == Account("pkey_test_a", "skey_test_a")


@pytest.mark.parametrize("word", ["nothing=1", "card_after_use=maybe", "token_life_s=-1"])
def test_an_assumption_that_does_not_exist_is_refused(word):
    """A misspelt word must not be taken for the default."""
    with pytest.raises(AssumptionRefused):
        read_assumptions((word,))
