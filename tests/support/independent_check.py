"""Checks a migration folder with nothing of Cardferry: `python3 independent_check.py DIR [KEY]`.

Needs pyarrow, and openssl for KEY, a public key as PEM. Exits with 1 if anything differs. Read it.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq

CANONICAL = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, sort_keys=True, default=bytes.hex
)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def chain_end(events):
    """Follow (event, its hash): hash = SHA-256(1, hash before, event as canonical JSON)."""
    head, length = "0" * 64, 0
    for length, (event, own) in enumerate(events, 1):
        head = sha256(b"\1" + bytes.fromhex(head) + CANONICAL.encode(event).encode())
        if own != head or event["seq"] != length:
            return f"broken at event {length}", length
    return head, length


def id_sum(ids):
    """Add up SHA-256 over the ids that are there, modulo 2^256."""
    return f"{sum(int(sha256(i.encode()), 16) for i in ids if i is not None) % (1 << 256):064x}"


def check_signature(folder, key):
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(key), "-rawin"]
    command += ["-in", "manifest.json", "-sigfile", "manifest.json.sig"]
    if key and subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        yield "manifest.json.sig: not a signature of this manifest by this key"


def check_outputs(folder, manifest):
    totals, sums = manifest["totals"], manifest["hash_totals"]
    lines = map(json.loads, (folder / "trail.jsonl").read_bytes().splitlines())
    events = [({k: v for k, v in e.items() if k not in ("hash", "prev")}, e["hash"]) for e in lines]
    if chain_end(events) != (manifest["chain"]["head"], manifest["chain"]["length"]):
        yield "trail.jsonl: the chain does not end where the manifest says"
    names = ("mapping.parquet", "failures.parquet")
    mapping, failures = (pq.read_table(folder / name).to_pydict() for name in names)
    if any(len(set(mapping[name])) != manifest["mapped"] for name in ("legacy_id", "token_id")):
        yield "mapping.parquet: a legacy id or a token is missing or stands twice"
    if [id_sum(f["legacy_id"]) for f in (mapping, failures)] != [sums["mapping"], sums["failures"]]:
        yield "mapping.parquet, failures.parquet: other legacy ids"
    resolved = manifest["resolved"]
    if any(failures["state"].count(s) != totals[s] - resolved[s] for s in resolved):
        yield "failures.parquet: the rows do not add up"
    if totals["rows"] * 2 != sum(totals.values()) or totals["difference"]:
        yield "manifest.json: the balance is not zero"


def check_ledger(folder, manifest, own):
    ledger = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)
    events = [(json.loads(b), h) for b, h in ledger.execute("SELECT body, hash FROM events")]
    if chain_end(events) != (events[-1][1], len(events)):
        yield "ledger.sqlite: the chain of events is broken"
    if manifest["chain"]["head"] not in {one for _, one in events}:
        yield "ledger.sqlite: the chain of events is another one than was published"
    named = [e["detail"]["manifest"] for e, _ in events if e["event"] == "outputs_published"]
    if named[-1:] != [own]:
        yield "manifest.json: the ledger names another manifest"
    for table in set(manifest["ledger"]) - {"schema", "lasting"}:  # of no table alone
        rows = ledger.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608 - by its key.
        rows = rows[: len(manifest["runs"]) if table == "runs" else None]  # Later: brought nothing.
        if table in ("rows", "tokens", "attachments", "attempts", "outcomes", "customers"):
            cut = [(n, list(part)) for n, part in groupby(rows, lambda row: row[0] // 1_000)]
            rows = [(n, sha256(CANONICAL.encode(part).encode())) for n, part in cut]
        if sha256(CANONICAL.encode(rows).encode()) != manifest["ledger"][table]["sha256"]:
            yield f"ledger.sqlite: table {table} is not what was published"


def check(folder, key=None):
    """Give the sentences that say what differs."""
    manifest = json.loads(content := (folder / "manifest.json").read_bytes())
    digests = {f["name"]: f["sha256"] for f in manifest["files"]}
    changed = [name for name in digests if sha256((folder / name).read_bytes()) != digests[name]]
    found = [*check_signature(folder, key), *(f"{n}: the digest is another" for n in changed)]
    found += [] if changed else check_outputs(folder, manifest)
    return found + list(check_ledger(folder, manifest, sha256(content)))


if __name__ == "__main__":
    differences = check(Path(sys.argv[1]).resolve(), *(Path(k).resolve() for k in sys.argv[2:3]))
    print("\n".join(differences) or "everything agrees")
    sys.exit(bool(differences))
