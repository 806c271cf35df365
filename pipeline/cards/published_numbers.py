"""Tells whether a number is on a public list of test cards, without holding any of them.

No card number may stand in this package, so the lists are kept as digests. These numbers are
public; the digests hide nothing and only keep the rule simple enough for a scanner to check.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

# The first six bytes of SHA-256 over this prefix and the digits, in hex; tests/unit/test_pan.py
# computes them again from the lists of Omise, Stripe, Adyen, Braintree and PayPal.
_PREFIX: Final = b"cardferry published test number:"

_PUBLISHED: Final = frozenset(
    """
    01420996b0e0 029c985ba6b1 05331c8e5cf9 070b8ba18722 07769d5a004e 0820a28d830a 0bbc87a9819d
    0d1668fe73e6 0ee0d9cf0d17 1376e74bfd84 19d113330704 1abbcb0cac7f 1c1138930533 29316c08ec68
    2a0ce5188638 2dbd493f1284 38f5d6dd5ecd 39ec080ea11f 3a4e0313d266 3aac75a9f5ef 3bd3d8fa6674
    3e353c2e0913 3f4849afc5b3 40a173834852 43f6bd2686c8 48245067d118 48f85712772f 4d372ad9880c
    4e5cec9fd3d2 4e705cf9d451 4ea52fc0cd18 4fc2b1f0a42e 502629083ffc 515795edd527 5823aa260614
    5d1a003e8e00 60afdaa130fa 62ef387fac35 643d96b12404 688c862c19c2 6a8826d03834 6c0b5a87894c
    6d2e92ec1280 6dd8754ae51c 70ea044a08ff 732cc6aa8b64 7b887f534c4c 7f3daf62877a 83d6f8732576
    8959e8b595fe 8ba981496cc0 8f09420aa153 929396d27c37 92d3075a7f4a 93354c4d9895 969c47d1d836
    96a0f2687a0c 9e40da88fe95 9f014a715298 9f0a25f5e4dd a36be2952110 a60675a9a93b a77d6a041cfd
    adf59ee92660 aecad474921f b52dce0c59ce badb28c8d404 bb1f9f02d227 bb356a0437a7 be90539d8430
    c30965b78040 c3b19d101561 cb19da0afd53 cbecef86993e cc5820173e2f d10c8724f5ae d6e0fd186e51
    d7c67602db9c d9f24e2252a5 de85ee6c94aa e82c6734a5dd f4a589a26ab5 f8ea49814943 f9f88bf11c6b
    fb8142096942 fc0fea8326a3 fd93e24e8dd4
    """.split()  # noqa: SIM905 - a block of words, not eighty lines.
)

SIEVE: Final = 9973
"""A modulus: only a number whose remainder is in `REMAINDERS` can be on the list."""

REMAINDERS: Final = [
    int(remainder)
    for remainder in (  # noqa: SIM905 - as above.
        "268,484,518,591,922,1081,1218,1258,1284,1354,1380,1389,1432,1458,1484,1510,1566,2422,"
        "2496,2816,2878,2901,3367,3529,3547,3555,3573,3599,3669,3695,3747,3773,3851,3933,4037,"
        "4115,4123,4131,4139,4157,4164,4172,4180,4198,4330,4800,4818,4852,4977,5035,5059,5129,"
        "5140,5160,5207,5215,5257,5265,5479,6487,6557,6572,7447,7539,7583,7701,8038,8062,8088,"
        "8114,8115,8132,8140,8158,8184,8254,8280,8358,8473,8482,8601,9102,9159,9174,9195,9823,"
        "9898"
    ).split(",")
]
"""The listed numbers' remainders, so that a column need not hash each of its numbers."""


def digest(number: bytes) -> str:
    """Give the digest under which a number would be listed, as 12 hex digits."""
    return sha256(_PREFIX + number).hexdigest()[:12]


def is_published(number: bytes) -> bool:
    """Say whether these ASCII digits are on a vault's public list of test cards."""
    return digest(number) in _PUBLISHED
