"""Lists and searches: which part is shown, in which order, and what cannot be asked for."""

import pytest

from tests.support.sandbox import asked

CUSTOMERS = "/customers"


@pytest.fixture
def vault():
    with asked() as client:
        yield client


def test_a_list_is_cut_by_limit_offset_and_order(vault):
    """Twenty by default, oldest first, and the total counts all."""
    made = [vault.ask("POST", CUSTOMERS, {})[1]["id"] for _ in range(23)]
    _, plain = vault.ask("GET", CUSTOMERS)
    _, cut = vault.ask("GET", f"{CUSTOMERS}?limit=2&offset=1&order=reverse_chronological")

    assert (20, 23, made[:20]) == (
        plain["limit"],
        plain["total"],
        [customer["id"] for customer in plain["data"]],
    )
    assert [made[21], made[20]] == [customer["id"] for customer in cut["data"]]


def test_a_list_is_cut_by_time():
    """`from` and `to` are inclusive, in any offset from UTC."""
    moment = [1_800_000_000.0]
    with asked(now=lambda: moment[0]) as vault:
        ids = []
        for _ in range(3):
            ids.append(vault.ask("POST", CUSTOMERS, {})[1]["id"])
            moment[0] += 3600
        # 1,800,000,000 is 2027-01-15T08:00:00Z; the second was made at nine o'clock.
        query = "from=2027-01-15T15:30:00%2B07:00&to=2027-01-15T09:30:00Z"
        _, cut = vault.ask("GET", f"{CUSTOMERS}?{query}")

    assert [ids[1]] == [customer["id"] for customer in cut["data"]]


def test_a_list_says_every_year_with_four_digits(vault):
    """One client sends the year one when it means no beginning."""
    _, shown = vault.ask("GET", f"{CUSTOMERS}?from=0001-01-01T00:00:00Z")

    assert shown["from"] == "0001-01-01T00:00:00Z"


def test_list_parameters_may_come_in_the_body_of_a_get(vault):
    """The Python client sends them so, with nulls for what it does not say."""
    for _ in range(3):
        vault.ask("POST", CUSTOMERS, {})
    params = {"limit": 2, "offset": 0, "order": None, "from": None, "to": None}

    assert len(vault.ask("GET", CUSTOMERS, params)[1]["data"]) == 2


@pytest.mark.parametrize("query", ["limit=x", "limit=0", "offset=-1", "order=up", "from=soon"])
def test_a_list_parameter_that_means_nothing_is_refused(vault, query):
    """The status is 400, the code bad_request."""
    status, error = vault.ask("GET", f"{CUSTOMERS}?{query}")

    assert (status, error["code"]) == (400, "bad_request")


def test_customers_are_searched_by_what_they_say(vault):
    """The recorded shape; texts match in any case of letters, deleted customers do not."""
    _, mike = vault.ask("POST", CUSTOMERS, {"email": "Mike@example.com"})
    _, gone = vault.ask("POST", CUSTOMERS, {"description": "mike, who left"})
    vault.ask("POST", CUSTOMERS, {"email": "adele@example.com", "metadata": {"a": "mike"}})
    vault.ask("DELETE", f"{CUSTOMERS}/{gone['id']}")
    _, found = vault.ask("GET", "/search?query=mike&scope=customer")

    assert [mike["id"]] == [customer.pop("id") for customer in found.pop("data")]
    assert found == {
        "object": "search",
        "export": False,
        "page": 1,
        "per_page": 30,
        "total": 1,
        "total_pages": 1,
        "filters": {},
        "location": "/search",
        "order": "chronological",
        "query": "mike",
        "scope": "customer",
        "aggregate_level": None,
    }


def test_an_id_is_searched_whole_and_never_in_part(vault):
    """A word that happens to stand inside a random id finds nothing."""
    _, made = vault.ask("POST", CUSTOMERS, {})
    found = {
        query: vault.ask("GET", f"/search?scope=customer&query={query}")[1]["total"]
        for query in (made["id"], made["id"][-8:], "cust_test_")
    }

    assert list(found.values()) == [1, 0, 0]


def test_a_search_keeps_to_the_day_that_is_asked_for_and_tells_its_filters():
    """Filters and pages are taken as recorded; the keys stand in the recorded order."""
    moment = [1_800_000_000.0]
    with asked(now=lambda: moment[0]) as vault:
        for _ in range(2):
            vault.ask("POST", CUSTOMERS, {"description": "mike"})
            moment[0] += 86_400
        query = "scope=customer&query=mike&per_page=1"
        days = "filters[created]=2027-01-15..2027-01-15"
        _, found = vault.ask("GET", f"/search?{query}&{days}&filters[livemode]=false")

    assert (found["total"], found["filters"]["livemode"]) == (1, "false")
    assert list(found) == [
        "object",
        "export",
        "data",
        "page",
        "per_page",
        "total",
        "total_pages",
        "filters",
        "location",
        "order",
        "query",
        "scope",
        "aggregate_level",
    ]


def test_an_old_versions_search_shows_old_objects():
    """Recorded in 2017: `created`, and no order on the list inside a customer."""
    with asked("2017-11-02") as vault:
        vault.ask("POST", CUSTOMERS, {"email": "mike@example.com"})
        _, found = vault.ask("GET", "/search?query=mike&scope=customer")

    (customer,) = found["data"]
    assert "created" in customer
    assert (found["order"], customer["cards"]["order"]) == ("chronological", None)


def test_a_search_has_pages_and_an_order(vault):
    """Thirty a page, the newest first when asked for."""
    made = [vault.ask("POST", CUSTOMERS, {"email": "a@b.c"})[1]["id"] for _ in range(31)]
    query = "/search?scope=customer&query=a@b.c&order=reverse_chronological&page=2"
    _, found = vault.ask("GET", query)

    assert (2, 31) == (found["total_pages"], found["total"])
    assert made[:1] == [customer["id"] for customer in found["data"]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("query=x", "invalid_scope"),
        ("scope=dispute", "invalid_scope"),
        ("scope=charge&page=0", "invalid_page"),
        ("scope=charge&page=x", "invalid_page"),
        ("scope=charge&filters=x", "invalid_filters"),
        ("scope=charge&per_page=0", "invalid_page"),
        ("scope=charge&order=up", "bad_request"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(vault, query, code):
    """Rather than answered with something else than was asked for."""
    status, error = vault.ask("GET", f"/search?{query}")

    assert (status, error["code"]) == (400, code)
