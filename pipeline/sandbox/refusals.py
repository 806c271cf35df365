"""Names what the vault says no to: an HTTP status, a stable code and an English sentence.

Codes and sentences as recorded or documented in the wire notes; those that nobody has seen
(500, 503, 429, a body that does not parse) are marked inferred.
"""

from __future__ import annotations

from typing import Final

ERRORS_PAGE: Final = "https://www.omise.co/api-errors#"


class Refusal(Exception):
    """A request that is answered with an error object.

    Args:
        status: The HTTP status.
        code: The error's code, such as `invalid_card`.
        message: The sentence a client shows.
        wait_s: Seconds for a `Retry-After` header; None for no such header.
    """

    def __init__(self, status: int, code: str, message: str, *, wait_s: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.wait_s = wait_s

    def body(self) -> dict[str, object]:
        """Give the error object: four strings, the location's anchor spelled with dashes."""
        return {
            "object": "error",
            "location": ERRORS_PAGE + self.code.replace("_", "-"),
            "code": self.code,
            "message": self.message,
        }


def authentication_failure() -> Refusal:
    """Refuse a missing, unknown or wrong-kind key."""
    return Refusal(401, "authentication_failure", "authentication failed")


def not_found(noun: str, ident: str) -> Refusal:
    """Refuse an id that this account does not have."""
    return Refusal(404, "not_found", f"{noun} {ident} was not found")


def unknown_path() -> Refusal:
    """Refuse a path or method that the API does not have (inferred: the real text is unknown)."""
    return Refusal(404, "not_found", "the requested path was not found")


def used_token() -> Refusal:
    """Refuse a token that was charged or attached before."""
    return Refusal(400, "used_token", "token was already used")


def missing_card() -> Refusal:
    """Refuse a request that should name a card and does not."""
    return Refusal(400, "missing_card", "request contains no card parameters")


def invalid_card(message: str) -> Refusal:
    """Refuse a card, with its problems joined into one sentence."""
    return Refusal(400, "invalid_card", message)


def invalid_card_token() -> Refusal:
    """Refuse a card parameter that is no text."""
    return Refusal(400, "invalid_card_token", "invalid card token")


def fraud_check_failed() -> Refusal:
    """Refuse a card that was marked as fraudulent, which `POST /tokens` may do."""
    return Refusal(400, "failed_fraud_check", "failed fraud check")


def invalid_charge(message: str) -> Refusal:
    """Refuse a charge's amount or currency."""
    return Refusal(400, "invalid_charge", message)


def bad_request(message: str = "bad request") -> Refusal:
    """Refuse anything else that the client got wrong."""
    return Refusal(400, "bad_request", message)


def body_too_large() -> Refusal:
    """Refuse a body over the limit (inferred)."""
    return Refusal(413, "bad_request", "request body is too large")


def too_many_requests(wait_s: int | None) -> Refusal:
    """Refuse for now (the code is inferred, the real one is unknown)."""
    return Refusal(429, "too_many_requests", "too many requests", wait_s=wait_s)


def internal_error() -> Refusal:
    """Answer for a fault of the vault (the code is inferred)."""
    return Refusal(500, "internal_error", "internal server error")


def service_unavailable() -> Refusal:
    """Answer for a vault that is away (the code is inferred)."""
    return Refusal(503, "service_unavailable", "service unavailable")
