"""Faults: every letter does what its line in the help says, and makes a token or does not."""

import httpx
import pytest

from pipeline.sandbox.faults import LETTERS, ScriptRefused, read_script
from tests.support.sandbox import card, running

MAKING = ".DTWLU"


@pytest.fixture
def run(tmp_path):
    """Give a function that posts a number of cards to a sandbox with a script."""

    def post_all(script, count=1):
        with running(faults=script, journal=tmp_path / "journal") as sandbox:
            answers = []
            for _ in range(count):
                try:
                    answers.append(sandbox.request("POST", "/tokens", json={"card": card()}))
                except httpx.TransportError as error:
                    answers.append(error)
            return answers, sandbox.entries()

    return post_all


@pytest.mark.parametrize("letter", sorted(set(LETTERS) - {"H"}))
def test_a_token_is_made_by_the_letters_that_say_so(run, letter):
    """The journal tells, whatever the client saw."""
    _, entries = run(letter)

    assert len(entries) == (letter in MAKING)


@pytest.mark.parametrize(
    ("letter", "error"), [("R", httpx.ReadError), ("D", httpx.RemoteProtocolError)]
)
def test_reset_and_drop_look_different_to_a_client(run, letter, error):
    """A reset is an error of the socket, a drop an early end."""
    answers, _ = run(letter)

    assert type(answers[0]) is error


def test_a_reset_is_a_real_one(run):
    """The system says ECONNRESET, not end of file."""
    answers, _ = run("R")

    causes = [answers[0]]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    assert ConnectionResetError in map(type, causes)


@pytest.mark.parametrize(
    ("letter", "status", "code", "wait"),
    [
        ("5", 500, "internal_error", None),
        ("3", 503, "service_unavailable", None),
        ("9", 429, "too_many_requests", "1"),
        ("8", 429, "too_many_requests", None),
        ("A", 401, "authentication_failure", None),
    ],
)
def test_some_letters_are_error_objects(run, letter, status, code, wait):
    """With Retry-After for one of them only."""
    (answer,), _ = run(letter)

    assert (answer.status_code, answer.json()["code"], answer.headers.get("retry-after")) == (
        status,
        code,
        wait,
    )


def test_half_of_the_json_is_a_whole_http_answer(run):
    """The length fits, the JSON ends in the middle."""
    (answer,), _ = run("T")

    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_a_page_is_a_200_of_the_wrong_type(run):
    """As from a proxy in between."""
    (answer,), _ = run("J")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_another_cards_digits_are_answered_but_not_kept(run):
    """The journal has the true ones."""
    (answer,), entries = run("W")

    assert (answer.json()["card"]["last_digits"], entries[0]["last_digits"]) == ("4243", "4242")


def test_the_wrong_livemode_is_answered(run):
    """With test keys it says live."""
    (answer,), _ = run("L")

    assert answer.json()["livemode"] is True


def test_the_id_of_the_answer_before_is_answered_again(run):
    """Two tokens are made, one id is seen."""
    answers, entries = run(".U", count=2)

    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({entry["token"] for entry in entries}) == 2


def test_a_script_is_taken_letter_by_letter_and_its_last_one_repeated(run):
    """One a request, in order of arrival."""
    answers, entries = run(".53.5", count=6)

    assert [answer.status_code for answer in answers] == [200, 500, 503, 200, 500, 500]
    assert [entry["seq"] for entry in entries] == [1, 2]


def test_a_hanging_request_ends_with_its_client_and_does_not_block_the_stop():
    """The client's timeout comes first, then the sandbox stops at once."""
    with running(faults="H.") as sandbox, httpx.Client(trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get(sandbox.base_url + "/tokens/x", timeout=0.3)
        assert sandbox.token()["object"] == "token"


def test_chances_repeat_with_their_seed():
    """The same seed draws the same letters, another one others; the rest are answers."""
    drawn = []
    for seed in (1, 1, 2):
        script = read_script(f"seed={seed} D=0.2 5=0.3")
        drawn.append("".join(script.take() for _ in range(1_000)))

    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) == set(".D5")
    assert 150 < drawn[0].count("D") < 250


def test_a_file_holds_letters_first_and_chances_after(tmp_path):
    """With comments, over several lines."""
    path = tmp_path / "script"
    path.write_text("..5  # begin softly\nR\nseed=7 T=1.0\n")
    script = read_script(f"@{path}")

    assert "".join(script.take() for _ in range(6)) == "..5RTT"


@pytest.mark.parametrize(
    "text",
    [
        *("x", "..?", "@/nowhere"),
        *("seed=one", "seed=nan", "seed=1.5"),
        *("D=2", "D=nan", "D=0.6 5=0.6", "Q=0.1", "DT=0.1", "=0.1"),
    ],
)
def test_a_script_that_means_nothing_is_refused(text):
    """Before the sandbox starts."""
    with pytest.raises(ScriptRefused):
        read_script(text)
