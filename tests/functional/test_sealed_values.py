"""Exports whose numbers or lines are sealed one by one: opened in the child, or told why not."""

import base64
import json
from random import Random

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey, RSAKey

from pipeline.errors import ExportRefused, KeyUnusable
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.decryptor.jwe import _ALGORITHMS, _private_key, open_values
from pipeline.exports.keys import EnvelopeKeys, NumberKey
from pipeline.exports.reader import read
from pipeline.exports.sealed_export import SealedExport
from pipeline.exports.verdict import Refused, Verdict
from tests.support.cards import card_number
from tests.support.commands import HEADER, settings
from tests.support.exports import by_gpg, by_pyrage, children, keyring
from tests.support.judged import command
from tests.support.sandbox import running

KEYS = {
    "RSA-OAEP-256": RSAKey.generate_key(2048),
    "ECDH-ES": ECKey.generate_key("P-256"),
    "ECDH-ES+A256KW": OKPKey.generate_key("X25519"),
}
NUMBERS = ["4242424242424242", "5555555555554444", "378282246310005"]
COLUMNS = {
    "legacy_id": "id",
    "number": "pan",
    "name": "name",
    "expiration_month": "m",
    "expiration_year": "y",
}


def sealed_number(number, algorithm, encryption="A256GCM", **more):
    header = {"alg": algorithm, "enc": encryption, **more}
    listed = [algorithm, encryption, *more.values()]
    return jwe.encrypt_compact(header, number, KEYS[algorithm], algorithms=listed)


def key_file(folder, content):
    path = folder / "number.key"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return NumberKey(path)


def last_digits(key, numbers, chunk_rows=2):
    plain = "id,pan,name,m,y\n" + "".join(f"{n},{pan},Ann,1,31\n" for n, pan in enumerate(numbers))
    options = ReaderOptions(COLUMNS, number_key=key, chunk_rows=chunk_rows)
    chunks = read(iter([plain.encode()]), options)
    return [digits for chunk in chunks for digits in chunk.numbers.last_digits().tolist()]


@pytest.mark.parametrize("form", ["JWK", "PEM"])
@pytest.mark.parametrize("algorithm", KEYS)
def test_numbers_sealed_one_by_one_are_opened(tmp_path, algorithm, form):
    """Each algorithm, by a key as JWK or PEM, over several chunks; a plain one stays as it is."""
    private = KEYS[algorithm]
    content = private.as_dict(private=True) if form == "JWK" else private.as_pem(private=True)
    numbers = [sealed_number(number, algorithm) for number in NUMBERS]
    before = children()

    found = last_digits(key_file(tmp_path, content), [*numbers, "6011111111111117"])

    assert found == ["4242", "4444", "0005", "1117"]
    assert children() == before


def test_a_value_that_does_not_open_is_one_bad_number(tmp_path):
    """A changed, foreign or compressed value spoils its row; the others are read."""
    key = key_file(tmp_path, KEYS["RSA-OAEP-256"].as_dict(private=True))
    good = sealed_number(NUMBERS[0], "RSA-OAEP-256")
    bad = [
        good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        sealed_number(NUMBERS[1], "ECDH-ES"),
        sealed_number(NUMBERS[1], "RSA-OAEP-256", zip="DEF"),
    ]

    assert last_digits(key, [good, *bad, good], chunk_rows=9) == ["4242", *[None] * 3, "4242"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"junk", "holds no private key"),
        (KEYS["ECDH-ES"].as_dict(private=False), "holds no private key"),
        (KEYS["ECDH-ES"].as_pem(private=True, password="x"), "protected by a passphrase"),
        (RSAKey.generate_key(2048).as_dict(private=True), "none of its sealed numbers opens"),
    ],
)
def test_a_key_that_opens_no_number_is_named(tmp_path, content, said):
    """What is wrong with the key is said of the key, and no row is blamed."""
    numbers = [sealed_number(number, "RSA-OAEP-256") for number in NUMBERS]
    with pytest.raises(KeyUnusable, match=said):
        last_digits(key_file(tmp_path, content), numbers)


def test_the_example_of_the_standard_is_opened():
    """RFC 7516, appendix A.1: made by another program, RSA-OAEP and A256GCM."""
    private = {
        "kty": "RSA",
        "n": "oahUIoWw0K0usKNuOR6H4wkf4oBUXHTxRvgb48E-BVvxkeDNjbC4he8rUWcJoZmds2h7M70imEVhRU5djINXtqllXI4DFqcI1DgjT9LewND8MW2Krf3Spsk_ZkoFnilakGygTwpZ3uesH-PFABNIUYpOiN15dsQRkgr0vEhxN92i2asbOenSZeyaxziK72UwxrrKoExv6kc5twXTq4h-QChLOln0_mtUZwfsRaMStPs6mS6XrgxnxbWhojf663tuEQueGC-FCMfra36C9knDFGzKsNa7LZK2djYgyD3JR_MB_4NUJW_TqOQtwHYbxevoJArm-L5StowjzGy-_bq6Gw",
        "e": "AQAB",
        "d": "kLdtIj6GbDks_ApCSTYQtelcNttlKiOyPzMrXHeI-yk1F7-kpDxY4-WY5NWV5KntaEeXS1j82E375xxhWMHXyvjYecPT9fpwR_M9gV8n9Hrh2anTpTD93Dt62ypW3yDsJzBnTnrYu1iwWRgBKrEYY46qAZIrA2xAwnm2X7uGR1hghkqDp0Vqj3kbSCz1XyfCs6_LehBwtxHIyh8Ripy40p24moOAbgxVw3rxT_vlt3UVe4WO3JkJOzlpUf-KTVI2Ptgm-dARxTEtE-id-4OJr0h-K-VFs3VSndVTIznSxfyrj8ILL6MG_Uv8YAu7VILSB3lOW085-4qE3DzgrTjgyQ",
        "p": "1r52Xk46c-LsfB5P442p7atdPUrxQSy4mti_tZI3Mgf2EuFVbUoDBvaRQ-SWxkbkmoEzL7JXroSBjSrK3YIQgYdMgyAEPTPjXv_hI2_1eTSPVZfzL0lffNn03IXqWF5MDFuoUYE0hzb2vhrlN_rKrbfDIwUbTrjjgieRbwC6Cl0",
        "q": "wLb35x7hmQWZsWJmB_vle87ihgZ19S8lBEROLIsZG4ayZVe9Hi9gDVCOBmUDdaDYVTSNx_8Fyw1YYa9XGrGnDew00J28cRUoeBB_jKI1oma0Orv1T9aXIWxKwd4gvxFImOWr3QRL9KEBRzk2RatUBnmDZJTIAfwTs0g68UZHvtc",
        "dp": "ZK-YwE7diUh0qR1tR7w8WHtolDx3MZ_OTowiFvgfeQ3SiresXjm9gZ5KLhMXvo-uz-KUJWDxS5pFQ_M0evdo1dKiRTjVw_x4NyqyXPM5nULPkcpU827rnpZzAJKpdhWAgqrXGKAECQH0Xt4taznjnd_zVpAmZZq60WPMBMfKcuE",
        "dq": "Dq0gfgJ1DdFGXiLvQEZnuKEN0UUmsJBxkjydc3j4ZYdBiMRAy86x0vHCjywcMlYYg4yoC4YZa9hNVcsjqA3FeiL19rk8g6Qn29Tt0cj8qqyFpz9vNDBUfCAiJVeESOjJDZPYHdHY8v1b-o-Z2X5tvLx-TCekf7oxyeKDUqKWjis",
        "qi": "VIMpMYbPf47dT1w_zDUXfPimsSegnMOA1zTaX7aGk_8urY6R8-ZW1FxU7AlWAyLWybqq6t16VFd7hQd0y6flUK4SlOydB61gwanOsXGOAOv82cHq0E3eL4HrtZkUuKvnPrMnsUUFlfUdybVzxyjz9JF_XyaY14ardLSjf4L_FNY",
    }
    token = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGeipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nfa6c9d-StnImGyFDbSv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaVmqgfwX7XWRxv2322i-vDxRfqNzo_tETKzpVLzfiwQyeyPGLBIO56YJ7eObdv0je81860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi6UklfCpIMfIjf7iGdXKHzg.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.XFBoMYUZodetZdvTiFvSkQ"
    key = _private_key(json.dumps(private).encode())
    found = jwe.decrypt_compact(token, key, algorithms=_ALGORITHMS).plaintext

    assert found == b"The true sign of intelligence is not knowledge but imagination."
    with pytest.raises(Refused) as caught:
        open_values(b"{}")
    assert caught.value.verdict is Verdict.KEY_UNUSABLE


def sealed_lines(lines, *, to="cv25519"):
    """Seal each line by itself with gpg and write it in base64."""
    sealed = [by_gpg(line.encode(), to) for line in lines]
    return b"".join(base64.b64encode(each) + b"\n" for each in sealed)


def opened(path, name="cv25519", **more):
    keys = EnvelopeKeys(key_file=keyring().secret(name), **more)
    with SealedExport(path, keys) as export:
        blocks = export.prove()
        return b"".join(blocks), blocks.origin


LINES = ["id,number\n", "A,4242\n", "B,5555"]


@pytest.mark.parametrize("header", ["sealed", "plain"])
def test_lines_sealed_one_by_one_are_opened(tmp_path, header):
    """Each line is an OpenPGP message in base64; the first may be plain."""
    path = tmp_path / "cards.csv"
    rows = sealed_lines(LINES if header == "sealed" else LINES[1:])
    path.write_bytes(rows if header == "sealed" else b"id,number\n" + rows)
    plain, origin = opened(path)

    assert plain == b"id,number\nA,4242\nB,5555\n"
    assert origin.engine == "sequoia"
    assert origin.key_fingerprint == keyring().fingerprint("cv25519")


def test_a_line_that_does_not_open_is_one_bad_row(tmp_path):
    """A changed, plain or doubled line is no row; the lines around it are read."""
    path = tmp_path / "cards.pgp"
    header, first, second = sealed_lines(LINES).splitlines(keepends=True)
    changed = bytearray(base64.b64decode(first))
    changed[-9] ^= 1
    twice = base64.b64encode(base64.b64decode(first) * 2) + b"\n"
    bad = [base64.b64encode(changed) + b"\n", b"C,4111\n", twice]
    path.write_bytes(header + b"".join(bad) + second)

    assert opened(path)[0] == b"id,number\n" + b"\0\n" * 3 + b"B,5555\n"


@pytest.mark.parametrize("end", [b"\x1a", b"\n\x1a", b"\r\n\x1a\r\n"])
def test_the_mark_at_the_end_of_sealed_lines_is_no_row(tmp_path, end):
    """A Ctrl-Z behind the last line costs neither that line nor one more."""
    path = tmp_path / "cards.pgp"
    path.write_bytes(sealed_lines(LINES).rstrip(b"\n") + end)
    keys = EnvelopeKeys(key_file=keyring().secret("cv25519"))
    columns = dict.fromkeys(COLUMNS, "number") | {"legacy_id": "id"}
    with SealedExport(path, keys) as export, export.prove() as blocks:
        (chunk,) = read(blocks, ReaderOptions(columns))

    assert chunk.columns["legacy_id"] == ["A", "B"]
    assert chunk.rejections == ()


def test_lines_sealed_to_another_key_are_refused(tmp_path):
    """The key is named, not the lines; and a signature cannot be asked for."""
    path = tmp_path / "cards.csv"
    path.write_bytes(sealed_lines(LINES[:2]))
    with pytest.raises(ExportRefused, match="not sealed to the configured key"):
        opened(path, "rsa")
    with pytest.raises(ExportRefused, match="cannot carry"):
        opened(path, signer_files=(keyring().public("signer"),))


def test_sealed_numbers_in_a_sealed_file_come_to_the_vault(tmp_path):
    """Both seals through a whole run: tokens are made, and no number stands anywhere."""
    numbers = [card_number(Random(n)) for n in range(3)]
    rows = [
        f"id-{n},Ann,{sealed_number(number, 'ECDH-ES')},1,2031,Oslo,c{n}"
        for n, number in enumerate(numbers)
    ]
    export = tmp_path / "cards.age"
    export.write_bytes(by_pyrage("\n".join([HEADER, *rows, ""]).encode()))
    key = key_file(tmp_path, KEYS["ECDH-ES"].as_dict(private=True))
    with running(journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url, key="age")
        number_key = f"export.number_key={{file='{key.file}'}}"
        folder = tmp_path / "out"
        words = ("run", export, "-c", config, "-o", folder, "--json", "--set", number_key)
        run = command(folder, *words)

        assert run.code == 0, run.err
        made = {entry["last_digits"] for entry in vault.entries()}
    assert made == {number[-4:] for number in numbers}
