"""Works out of a ledger what no run may change, with nothing of Cardferry: `lasting` in the manifest."""

from tests.support.independent_check import CANONICAL, sha256

LATER = ("vault_rejected", "fraud_check_failed", "customer_unknown", "filtered")
"""Codes that a row got after it was planned, or loses again."""


def lasting_sha256(ledger):
    """Give the digest of the manifest, from a connection to the ledger's SQLite file."""
    return sha256("".join(CANONICAL.encode(part) for part in what_lasts(ledger)).encode())


def what_lasts(ledger):
    """Give (epoch, kind, section, count, SHA-256) of what no run changes, in order.

    `kind` is 0 for rows and their tokens, 1 for customers, 2 for attempts, 3 for exports, 4 for runs,
    and from 5 on what rows, cards and customers had become; a section is a thousand ids.
    """
    epochs = dict(ledger.execute("SELECT id, epoch FROM exports WHERE state = 'planned'"))
    things = []
    for row in ledger.execute(
        "SELECT id, legacy_id, last_digits, brand, expiration_month, expiration_year, carry, "
        "customer, is_default, state, code, field, hint FROM rows ORDER BY id"
    ):
        is_final = row[9] in ("rejected", "skipped") and row[10] not in LATER
        if row[0] // 10**10 in epochs:
            things.append((epochs[row[0] // 10**10], 0, row if is_final else row[:9]))
    token = "row_id, token_id, card_id, brand, fingerprint, country, livemode, created_s, epoch"
    both = f"SELECT {token} FROM tokens UNION ALL SELECT {token} FROM retired_tokens ORDER BY 1, 2"  # noqa: S608
    things += [(row[-1], 0, row) for row in ledger.execute(both)]
    end = "row_id, token_id, reason, retired_ms, retired_epoch"
    ended = f"SELECT {end} FROM retired_tokens ORDER BY 1, 2"  # noqa: S608
    things += [(row[-1], 0, row) for row in ledger.execute(ended)]
    things += [
        (row[-1], 1, row[:-1])
        for row in ledger.execute(
            "SELECT id, legacy_customer_id, customer_id, epoch FROM customers "
            "WHERE customer_id IS NOT NULL ORDER BY id"
        )
    ]
    attempt = "id, row_id, step, number, epoch, attempts.at_ms"
    answer = "evidence, kind, vault_code, request_id, latency_us, outcomes.at_ms"
    joined = "attempts LEFT JOIN outcomes ON attempt_id = id"
    both = f"SELECT {attempt}, {answer} FROM {joined} ORDER BY id"  # noqa: S608
    for row in ledger.execute(both):
        is_open = row[6] in (None, "the run ended before an answer came")
        things.append((row[4], 2, row[:6] if is_open else row))
    parts = {}
    for epoch, kind, thing in things:
        parts.setdefault((epoch, kind, thing[0] // 1_000), []).append(thing)
    found = [(*p, len(part), sha256(CANONICAL.encode(part).encode())) for p, part in parts.items()]
    told = (
        "id, name, size, sha256, kind, engine, key_fingerprint, signer, as_of, rows, legacy_id_sum"
    )
    planned = f"SELECT epoch, {told}, epoch, reading_points FROM exports WHERE state = 'planned'"  # noqa: S608
    for kind, asked in ((3, planned), (4, "SELECT epoch, * FROM runs")):
        for epoch, *row in ledger.execute(asked):
            found.append((epoch, kind, row[0], 1, sha256(CANONICAL.encode(row).encode())))
    yield from sorted([*found, *what_things_became(ledger)])


def what_things_became(ledger):
    """Give the same of rows, cards and customers, of which each publication kept what they were."""
    for kind, of in enumerate(("rows", "attachments", "customers"), 5):
        became = f"SELECT epoch, number, things, packed FROM versions WHERE of = '{of}'"  # noqa: S608
        for epoch, number, things, packed in ledger.execute(became):
            yield epoch, kind, number, things, sha256(packed)
