"""Any bytes survive sealing and opening; any changed bit or cut does not. Real child processes."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.errors import ExportRefused
from pipeline.exports.packing.contents import LOOK_BYTES, named_content
from pipeline.exports.seal import seal_file
from pipeline.exports.sealed_export import SealedExport
from tests.support.exports import keyring, keys_of
from tests.support.sampled import examples

PROFILE = settings(
    max_examples=examples(30),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
KINDS = st.sampled_from(["cv25519", "age"])
PLAIN = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda part, times: part * times, st.binary(max_size=50), st.integers(0, 5_000)),
)

PACKED = (b"\x1f\x8b", b"BZh", b"PK", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""What begins like this is unpacked first."""


def sealed(folder, plain, kind, *, armor):
    source, target = folder / "plain", folder / "export"
    source.write_bytes(plain)
    seal_file(source, target, keyring().public(kind), armor=armor)
    return target


def opened(path, kind):
    with SealedExport(path, keys_of(kind)) as export:
        first = export.prove()
        proved = b"".join(first)
        return proved, b"".join(export.reread(first.file))


@PROFILE
@given(plain=PLAIN, kind=KINDS, armor=st.booleans())
def test_any_bytes_come_back_twice(plain, kind, armor):
    """What `seal_file` seals, both passes give back, byte for byte; what is no text is named."""
    assume(not plain.startswith(PACKED))
    with tempfile.TemporaryDirectory() as folder:
        path = sealed(Path(folder), plain, kind, armor=armor)
        content = named_content(plain[:LOOK_BYTES])

        if content is None:
            assert opened(path, kind) == (plain, plain)
        else:
            with pytest.raises(ExportRefused, match=re.escape(content)):
                opened(path, kind)


@PROFILE
@given(plain=PLAIN, kind=KINDS, place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_changed_bit_is_refused(plain, kind, place, bit):
    """A binary export with one changed bit is never proved."""
    with tempfile.TemporaryDirectory() as folder:
        path = sealed(Path(folder), plain, kind, armor=False)
        octets = bytearray(path.read_bytes())
        octets[int(place * len(octets))] ^= 1 << bit
        path.write_bytes(octets)

        with pytest.raises(ExportRefused):
            opened(path, kind)


@PROFILE
@given(plain=PLAIN, kind=KINDS, armor=st.booleans(), place=st.floats(0, 0.99))
def test_any_cut_is_refused(plain, kind, armor, place):
    """An export that ends early is never proved; an armor may lose no more than its last line."""
    with tempfile.TemporaryDirectory() as folder:
        path = sealed(Path(folder), plain, kind, armor=armor)
        octets = path.read_bytes()
        length = len(octets) - 60 if armor else len(octets)
        path.write_bytes(octets[: int(place * length)])

        with pytest.raises(ExportRefused):
            opened(path, kind)
