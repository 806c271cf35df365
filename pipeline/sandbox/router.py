"""Answers a request without any I/O of its own: routes, keys, limits, versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.sandbox.charges import Charges
from pipeline.sandbox.customers import Customers
from pipeline.sandbox.description import VERSIONS
from pipeline.sandbox.merchants import Merchants
from pipeline.sandbox.params import read_loosely, read_params
from pipeline.sandbox.refusals import Refusal, bad_request, unknown_path
from pipeline.sandbox.search import Searches
from pipeline.sandbox.tokens import Tokens
from pipeline.sandbox.versions import as_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox.accounts import Account, KeyCheck, KeyKind
    from pipeline.sandbox.context import Context, Params, Shown
    from pipeline.sandbox.limits import Limiter


@dataclass(frozen=True, slots=True)
class Request:
    """What the vault reads of an HTTP request; header values are b"" when absent."""

    method: str
    path: str
    query: bytes
    body: bytes
    content_type: bytes
    authorization: bytes
    version: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the vault answers.

    Attributes:
        status: The HTTP status.
        shown: The object, to be sent as JSON.
        version: The `Omise-Version` to echo; None on errors, as recorded.
        wait_s: Seconds for `Retry-After`, or None.
        is_vaults: True for the vault's own paths, whose headers differ from the API's.
    """

    status: int
    shown: Shown
    version: str | None
    wait_s: int | None
    is_vaults: bool


def refused(refusal: Refusal, *, is_vaults: bool) -> Reply:
    """Give a refusal as an answer."""
    return Reply(refusal.status, refusal.body(), None, refusal.wait_s, is_vaults)


Operation = tuple["KeyKind", "Callable[[Account, list[str], Params], Shown]"]
"""Which kind of key an operation takes, and what it does with the ids of its path."""


def _operations(context: Context) -> dict[tuple[str, str], Operation]:
    tokens, customers, charges = Tokens(context), Customers(context), Charges(context)
    searches, merchants = Searches(context, customers), Merchants(context)
    one, card, charge = "/customers/*", "/customers/*/cards/*", "/charges/*"
    return {
        ("POST", "/tokens"): ("public", lambda a, _, p: tokens.create(a, p)),
        ("GET", "/tokens/*"): ("public", lambda a, i, _: tokens.retrieve(a, i[0])),
        ("POST", "/customers"): ("secret", lambda a, _, p: customers.create(a, p)),
        ("GET", "/customers"): ("secret", lambda a, _, p: customers.listed(a, p)),
        ("GET", one): ("secret", lambda a, i, _: customers.retrieve(a, i[0])),
        ("PATCH", one): ("secret", lambda a, i, p: customers.update(a, i[0], p)),
        ("DELETE", one): ("secret", lambda a, i, _: customers.destroy(a, i[0])),
        ("GET", one + "/cards"): ("secret", lambda a, i, p: customers.cards(a, i[0], p)),
        ("GET", card): ("secret", lambda a, i, _: customers.card(a, i[0], i[1])),
        ("PATCH", card): ("secret", lambda a, i, p: customers.update_card(a, i[0], i[1], p)),
        ("DELETE", card): ("secret", lambda a, i, _: customers.destroy_card(a, i[0], i[1])),
        ("POST", "/charges"): ("secret", lambda a, _, p: charges.create(a, p)),
        ("GET", "/charges"): ("secret", lambda a, _, p: charges.listed(a, p)),
        ("GET", charge): ("secret", lambda a, i, _: charges.retrieve(a, i[0])),
        ("PATCH", charge): ("secret", lambda a, i, p: charges.update(a, i[0], p)),
        ("POST", charge + "/capture"): ("secret", lambda a, i, p: charges.capture(a, i[0], p)),
        ("POST", charge + "/reverse"): ("secret", lambda a, i, p: charges.reverse(a, i[0], p)),
        ("GET", one + "/linked_accounts"): ("secret", customers.linked_accounts),
        ("GET", one + "/schedules"): ("secret", customers.schedules),
        ("GET", "/account"): ("secret", lambda a, _, p: merchants.account(a, p)),
        ("GET", "/capability"): ("secret", lambda a, _, p: merchants.capability(a, p)),
        ("GET", "/search"): ("secret", lambda a, _, p: searches.find(a, p)),
    }


_READS_PARAMS: Final = {"POST", "PATCH"}


class Router:
    """Answers requests, one at a time and each at once.

    Args:
        context: The vault's state and surroundings.
        key_check: Who may ask.
        vault_limiter: How often `/tokens`; None for no limit.
        api_limiter: How often everything else; it may be the same one.
    """

    def __init__(
        self,
        context: Context,
        key_check: KeyCheck,
        vault_limiter: Limiter | None,
        api_limiter: Limiter | None,
    ) -> None:
        self._context = context
        self._key_check = key_check
        self._vault_limiter = vault_limiter
        self._api_limiter = api_limiter
        self._operations = _operations(context)

    def answer(self, request: Request) -> Reply:
        """Do what is asked; a refusal is an answer too."""
        parts = [part for part in request.path.split("/") if part]
        is_vaults = parts[:1] == ["tokens"]
        try:
            kind, operation = self._find(request.method, parts)
            account = self._key_check.admit(request.authorization, kind)
            limiter = self._vault_limiter if is_vaults else self._api_limiter
            if limiter:
                limiter.admit(account.name, request.address)
            version = self._version_of(request.version)
            shown = operation(account, parts[1::2], self._params(request))
        except Refusal as refusal:
            return refused(refusal, is_vaults=is_vaults)
        return Reply(200, as_of(version, shown), version, None, is_vaults)

    def _find(self, method: str, parts: list[str]) -> Operation:
        """Find the operation; every second part of a path is an id.

        Raises:
            Refusal: `not_found`, also for a known path with another method.
        """
        pattern = "/" + "/".join("*" if index % 2 else part for index, part in enumerate(parts))
        operation = self._operations.get(("GET" if method == "HEAD" else method, pattern))
        if operation is None:
            raise unknown_path()
        return operation

    def _version_of(self, header: bytes) -> str:
        """Give the version to answer in; the header beats the account's setting."""
        version = header.decode("latin-1").strip()
        if version in VERSIONS:
            return version
        if version and self._context.assume.unknown_version == "refused":
            raise bad_request("API version does not exist")
        return self._context.version

    def _params(self, request: Request) -> dict[str, Any]:
        """Read the parameters, from a GET's body too: the Python client lists that way."""
        read = read_params if request.method in _READS_PARAMS else read_loosely
        return read(request.body, request.content_type, request.query)
