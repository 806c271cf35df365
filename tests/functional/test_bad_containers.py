"""Damaged, forged and odd containers through the whole program: no request unless all is proved."""

import pytest

from pipeline.exports.verdict import WORDS
from tests.support.bad_containers import (
    AGE,
    LONG,
    OPENPGP,
    PASSPHRASE_OPTION,
    damages,
    signed_by,
    v6_key,
)
from tests.support.bad_files import numbers_of
from tests.support.exports import by_gpg, by_pyrage, by_sequoia
from tests.support.judged import carry, require_clean
from tests.support.sampled import one_of_each
from tests.support.sandbox import running

SEALERS = {
    "gpg": (lambda: by_gpg(LONG), "cv25519"),
    "sequoia": (lambda: by_sequoia(LONG), "cv25519"),
    "age": (lambda: by_pyrage(LONG), "age"),
}
CASES = [*(("openpgp", case) for case in OPENPGP), *(("age", case) for case in AGE)]


def kind_of(place):
    """Give what a case is one of: those of one verdict, and six whose words nobody can tell before."""
    kind, case = CASES[place]
    return (kind, case.accepted, case.verdict or place // 6)


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """One vault for all; each test looks at the lines that it added to the journal."""
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def require_refusal(work, vault, sealed, key, name, options=()):
    export = work / name
    export.write_bytes(sealed)
    before = len(vault.entries())
    run = carry(work, vault.base_url, export, key=key, options=options)

    assert 6 == run.code, run.err
    assert before == len(vault.entries())
    require_clean(run, numbers_of())
    return run


@pytest.mark.parametrize(
    "place",
    one_of_each(range(len(CASES)), kind_of),
    ids=[f"{kind} {case.name}" for kind, case in CASES],
)
def test_a_container_gets_its_verdict(tmp_path, vault, monkeypatch, place):
    """A bad container ends with 6 and no token; an odd one that is whole is carried.

    One of each kind by default; all of them in the slow tests.
    """
    kind, case = CASES[place]
    name = "cards.age" if kind == "age" else "cards.pgp"
    options = [signed_by(*case.signers)] if case.signers else []
    if case.passphrase:
        monkeypatch.setenv("THE_PASSPHRASE", case.passphrase)
        options.append(PASSPHRASE_OPTION)
    if case.accepted:
        export = tmp_path / name
        export.write_bytes(case.seal())
        run = carry(tmp_path, vault.base_url, export, key=case.key, options=options)
        assert 0 == run.code, run.err
        return

    run = require_refusal(tmp_path, vault, case.seal(), case.key, name, options)

    if case.verdict is not None:
        assert WORDS[case.verdict][0] in run.answer["error"]


def refuse_damages(work, vault, sealer, flips, cuts):
    seal, key = SEALERS[sealer]
    for name, sealed in damages(seal(), flips, cuts, seed=20):
        folder = work / name
        folder.mkdir()
        require_refusal(folder, vault, sealed, key, "cards.export")


@pytest.mark.parametrize("sealer", SEALERS)
def test_flipped_bits_and_cuts_send_nothing(tmp_path, vault, sealer):
    """Wherever a bit is flipped or the file ends, the exit code is 6 and the journal empty."""
    refuse_damages(tmp_path, vault, sealer, 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("sealer", SEALERS)
def test_200_flipped_bits_and_100_cuts_send_nothing(tmp_path, vault, sealer):
    """The same at 200 offsets and 100 lengths."""
    refuse_damages(tmp_path, vault, sealer, 200, 100)


def test_a_flipped_bit_in_an_export_of_rfc_9580_sends_nothing(tmp_path, vault):
    """AEAD containers and version 6 keys are judged as the older ones are."""
    key, sealed = v6_key()
    path = tmp_path / "v6.key"
    path.write_bytes(key)
    path.chmod(0o600)
    for at, (_, changed) in enumerate(damages(sealed, 4, 4, seed=9)):
        folder = tmp_path / str(at)
        folder.mkdir()
        option = f'export.key={{file = "{path}"}}'
        require_refusal(folder, vault, changed, None, "cards.pgp", [option])
