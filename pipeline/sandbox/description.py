"""Describes the API's objects once: every attribute, its type, its meaning, its versions.

Answers are cut to an older version by it (`as_of`), the tests check every answer against the JSON
Schema that tests make from it, and the documentation is printed from it (`markdown`). Objects are
made in the newest shape; older ones differ in names, in what is left out and in deleted objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS: Final = ("2014-07-27", "2015-11-17", "2017-11-02", "2019-05-29")
NEWEST: Final = VERSIONS[-1]
_2015: Final = VERSIONS[1]
_2017: Final = VERSIONS[2]
_2019: Final = VERSIONS[3]

Shape = dict[str, Any]
STRING: Final[Shape] = {"type": "string"}
TEXT: Final[Shape] = {"type": ["string", "null"]}
FLAG: Final[Shape] = {"type": "boolean"}
COUNT: Final[Shape] = {"type": "integer"}
HASH: Final[Shape] = {"type": "object"}
TIME: Final[Shape] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
TIME_OR_NULL: Final[Shape] = {"anyOf": [TIME, {"type": "null"}]}
CURRENCY: Final[Shape] = {"type": "string", "pattern": "^([A-Z]{3}|[a-z]{3})$"}


CHARGE_NULLS: Final = (
    "acquirer_reference_number",
    "approval_code",
    "branch",
    "device",
    "link",
    "linked_account",
    "merchant_advice",
    "merchant_advice_code",
    "schedule",
    "terminal",
)
"""Attributes of a charge that this vault never fills."""


def choice(*values: str | None) -> Shape:
    """Describe an attribute with a closed set of values."""
    return {"enum": list(values)}


def ident(prefix: str, *, or_null: bool = False) -> Shape:
    """Describe an id: its prefix, `_test` in test mode, 19 characters."""
    shape: Shape = {"type": "string", "pattern": f"^{prefix}(_test)?_[0-9a-z]{{19}}$"}
    return {"anyOf": [shape, {"type": "null"}]} if or_null else shape


def nested(name: str, *, or_null: bool = False) -> Shape:
    """Describe an attribute that holds another object."""
    shape: Shape = {"$ref": f"#/$defs/{name}"}
    return {"anyOf": [shape, {"type": "null"}]} if or_null else shape


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one object.

    Attributes:
        name: Its name in the newest version; "" when only older versions have it.
        shape: Its JSON Schema.
        meaning: What it says, in a few words.
        since: The first version that shows it.
        before_2019: Its name in versions before 2019-05-29, when that differs.
        in_2014: Its name in 2014-07-27, when that differs.
        optional: True when it may be missing.
    """

    name: str
    shape: Shape
    meaning: str
    since: str = VERSIONS[0]
    before_2019: str = ""
    in_2014: str = ""
    optional: bool = False

    def name_in(self, version: str) -> str | None:
        """Give its name in a version, None where it does not exist."""
        if version < self.since:
            return None
        if version == VERSIONS[0] and self.in_2014:
            return self.in_2014
        return self.before_2019 if self.before_2019 and version < _2019 else self.name


def _created() -> Attribute:
    return Attribute("created_at", TIME, "when it was made, UTC", before_2019="created")


def _deleted() -> Attribute:
    return Attribute("deleted", FLAG, "whether it was deleted", since=_2019)


_A = Attribute
OBJECTS: Final[Mapping[str, tuple[Attribute, ...]]] = {
    "token": (
        _A("object", choice("token"), "always `token`"),
        _A("id", ident("tokn"), "the token"),
        _A("livemode", FLAG, "whether live keys made it"),
        _A("location", STRING, "its absolute address at the vault"),
        _A("used", FLAG, "whether it was charged or attached"),
        _A(
            "charge_status",
            choice("unknown", "expired", "failed", "pending", "reversed", "successful"),
            "the status of the charge made with it",
        ),
        _A("card", nested("card", or_null=True), "the card; null once the token is used"),
        _created(),
    ),
    "card": (
        _A("object", choice("card"), "always `card`"),
        _A("id", ident("card"), "the card; the same before and after it is attached"),
        _A("livemode", FLAG, "whether live keys made it"),
        # Before 2019 a card that is on no customer has no location at all, see `_absent`.
        _A("location", TEXT, "its path on a customer, null on a token", optional=True),
        _deleted(),
        _A("street1", TEXT, "billing address"),
        _A("street2", TEXT, "billing address, second line"),
        _A("city", TEXT, "billing city"),
        _A("state", TEXT, "billing state"),
        _A("phone_number", TEXT, "phone number"),
        _A("postal_code", TEXT, "billing postal code"),
        _A("country", STRING, "two lower-case letters, sent or from the number's range"),
        _A("financing", choice("credit", "debit", "prepaid", ""), "from the number's range"),
        _A("bank", STRING, "from the number's range", since=_2015),
        _A("brand", STRING, "from the number's range"),
        _A(
            "fingerprint",
            {"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"},
            "equal for equal numbers of one account",
        ),
        _A("first_digits", {"type": "null"}, "null but for specific merchants"),
        _A("last_digits", {"type": "string", "pattern": r"^\d{4}$"}, "last four digits"),
        _A("name", STRING, "the cardholder"),
        _A("expiration_month", {"type": "integer", "minimum": 1, "maximum": 12}, "1 to 12"),
        _A("expiration_year", COUNT, "four digits"),
        _A("security_code_check", FLAG, "whether a code came and passed"),
        _A("tokenization_method", choice(None, "googlepay", "applepay"), "null for plain cards"),
        _A("email", TEXT, "only with `email_on_card=shown`", optional=True),
        _created(),
    ),
    "customer": (
        _A("object", choice("customer"), "always `customer`"),
        _A("id", ident("cust"), "the customer"),
        _A("livemode", FLAG, "whether live keys made it"),
        _A("location", STRING, "its path"),
        _deleted(),
        _A("metadata", HASH, "any JSON object"),
        _A("cards", nested("list"), "its cards, at most 20 of them"),
        _A("default_card", ident("card", or_null=True), "the card charged by default"),
        _A("linked_accounts", nested("list"), "always empty here", since=_2019),
        _A("description", TEXT, "free text"),
        _A("email", TEXT, "free text"),
        _created(),
    ),
    "account": (
        _A("object", choice("account"), "always `account`"),
        _A("id", ident("account"), "the account"),
        _A("livemode", FLAG, "whether live keys ask"),
        _A("location", STRING, "always `/account`"),
        _A("team", ident("team"), "the team that owns it"),
        _A("currency", CURRENCY, "ISO 4217; lower-case before 2019-05-29"),
        _A("email", STRING, "the owner's"),
        _A("api_version", choice(*VERSIONS), "of requests that name none"),
        _A("country", STRING, "two letters"),
        _A("supported_currencies", {"type": "array", "items": CURRENCY}, "of charges"),
        _A("auto_activate_recipients", FLAG, "always false here"),
        _A("chain_enabled", FLAG, "always false here"),
        _A("chain_return_uri", TEXT, "always null here"),
        _A("zero_interest_installments", FLAG, "always false here"),
        _A("metadata_export_keys", HASH, "always empty lists here"),
        _A("webhook_uri", TEXT, "where events would be sent"),
        _created(),
    ),
    "capability": (
        _A("object", choice("capability"), "always `capability`"),
        _A("location", STRING, "always `/capability`"),
        _A("banks", {"type": "array"}, "always empty here"),
        _A("limits", HASH, "the least and the greatest charge"),
        _A("payment_methods", {"type": "array"}, "cards of the sandbox's brands"),
        _A("tokenization_methods", {"type": "array"}, "always empty here"),
        _A("zero_interest_installments", FLAG, "always false here"),
        _A("country", STRING, "two letters"),
    ),
    "charge": (
        _A("object", choice("charge"), "always `charge`"),
        _A("id", ident("chrg"), "the charge"),
        _A("livemode", FLAG, "whether live keys made it"),
        _A("location", STRING, "its path"),
        _A("amount", COUNT, "in the currency's smallest unit"),
        _A("currency", CURRENCY, "ISO 4217; lower-case before 2019-05-29"),
        _A("reference", TEXT, "always null here", since=_2019),
        _A("authorization_type", choice(None, "pre_auth"), "null for a plain one", since=_2019),
        _A("authorized_amount", COUNT, "what the issuer agreed to", since=_2019),
        _A("captured_amount", COUNT, "what was captured", since=_2019),
        _A("net", COUNT, "amount less fees", since=_2019),
        _A("fee", COUNT, "3.65 % here", since=_2019),
        _A("fee_vat", COUNT, "7 % of the fee here", since=_2019),
        _A("refunded_amount", COUNT, "always 0 here", before_2019="refunded"),
        _A("refunds", nested("list"), "always empty here"),
        _A("description", TEXT, "free text"),
        _A("metadata", HASH, "any JSON object"),
        _A("card", nested("card", or_null=True), "the card that was charged"),
        _A("customer", ident("cust", or_null=True), "the customer, when charged through one"),
        _A("transaction", ident("trxn", or_null=True), "null until paid"),
        _A("failure_code", TEXT, "why it failed"),
        _A("failure_message", TEXT, "the same in words"),
        _A("status", choice("failed", "pending", "reversed", "successful"), "", since=_2015),
        _A("authorize_uri", TEXT, "null: no 3-D Secure here"),
        _A("return_uri", TEXT, "as sent"),
        _A("ip", TEXT, "as sent"),
        _A("source", {"type": "null"}, "always null here", since=_2017),
        _A("dispute", {"type": "null"}, "always null here"),
        _A("authorized", FLAG, "whether the issuer agreed"),
        _A("capture", FLAG, "whether to capture at once"),
        _A("capturable", FLAG, "whether it waits for a capture", since=_2019),
        _A("paid", FLAG, "whether it was captured", in_2014="captured"),
        _A("reversed", FLAG, "whether it was given up before the capture"),
        _A("paid_at", TIME_OR_NULL, "when it was captured", since=_2019),
        _A("reversed_at", TIME_OR_NULL, "when it was given up", since=_2019),
        _A("authorized_at", TIME_OR_NULL, "when the issuer agreed", since=_2019),
        _A("expires_at", TIME, "seven days after it was made", since=_2019),
        _A("expired_at", TIME_OR_NULL, "always null here", since=_2019),
        _A("expired", FLAG, "always false here", since=_2019),
        _A("reversible", FLAG, "whether it can still be given up", since=_2019),
        _A("refundable", FLAG, "always false here: no refunds", since=_2019),
        _A("partially_refundable", FLAG, "always false here", since=_2019),
        _A("disputable", FLAG, "always false here", since=_2019),
        _A("voided", FLAG, "always false here", since=_2019),
        _A("can_perform_void", FLAG, "always false here", since=_2019),
        _A("multi_capture", FLAG, "always false here", since=_2019),
        _A("zero_interest_installments", FLAG, "always false here", since=_2019),
        _A("interest", COUNT, "always 0 here", since=_2019),
        _A("interest_vat", COUNT, "always 0 here", since=_2019),
        _A("funding_amount", COUNT, "the amount", since=_2019),
        _A("funding_currency", CURRENCY, "the currency", since=_2019),
        _A("transaction_fees", HASH, "the rates behind the fees", since=_2019),
        _A("platform_fee", HASH, "always nulls here", since=_2019),
        *(_A(name, {"type": "null"}, "always null here", since=_2019) for name in CHARGE_NULLS),
        _created(),
    ),
    "list": (
        _A("object", choice("list"), "always `list`"),
        _A("data", {"type": "array", "items": {"$ref": "#/$defs/any"}}, "the objects"),
        _A("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "at most so many"),
        _A("offset", {"type": "integer", "minimum": 0}, "how many were left out before"),
        _A("total", {"type": "integer", "minimum": 0}, "how many there are"),
        _A("location", TEXT, "the list's path"),
        _A(
            "order",
            choice("chronological", "reverse_chronological", None),
            "oldest or newest first; null inside another object before 2019-05-29",
        ),
        _A("from", TIME, "nothing older"),
        _A("to", TIME, "nothing newer"),
    ),
    "search": (
        _A("object", choice("search"), "always `search`"),
        _A("export", FLAG, "always false here"),
        _A("data", {"type": "array", "items": {"$ref": "#/$defs/any"}}, "the objects"),
        _A("page", {"type": "integer", "minimum": 1}, "which page this is"),
        _A("per_page", {"type": "integer", "minimum": 1}, "at most so many a page"),
        _A("total", {"type": "integer", "minimum": 0}, "how many were found"),
        _A("total_pages", {"type": "integer", "minimum": 0}, "how many pages there are"),
        _A("filters", HASH, "what else it had to be, as sent"),
        _A("location", STRING, "the search's path"),
        _A("order", choice("chronological", "reverse_chronological"), "oldest or newest first"),
        _A("query", STRING, "what it had to hold"),
        _A("scope", choice("customer", "charge"), "what was looked for"),
        _A("aggregate_level", TEXT, "always null here"),
    ),
    "error": (
        _A("object", choice("error"), "always `error`"),
        _A(
            "location",
            {"type": "string", "pattern": "^https://www.omise.co/api-errors#[a-z-]+$"},
            "where the code is explained",
        ),
        _A("code", {"type": "string", "pattern": "^[a-z_]+$"}, "stable"),
        _A("message", STRING, "for people"),
    ),
}
"""Every object the sandbox answers with."""
