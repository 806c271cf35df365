"""Packs bytes as other programs do: gzip, bzip2, xz, zstd, tar, and ZIP in its variants."""

import io
import struct
import subprocess
import tarfile
import zipfile

from tests.support.programs import require


def by_program(*command, stdin):
    """Pack with a program that everybody has."""
    require(command[0])
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


class Unseekable(io.BytesIO):
    """A pipe, as far as a program that writes to it can tell."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError

    def tell(self):
        raise OSError


def zipped(files, *, method=zipfile.ZIP_DEFLATED, streamed=False, comment=b""):
    """Give a ZIP archive of names and bytes; a streamed one tells lengths behind each member."""
    archive = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, octets in files.items():
            writer.writestr(name, octets, method)
        writer.comment = comment
    return archive.getvalue()


def zip64(name, octets):
    """Give a ZIP archive whose lengths stand in 64 bits."""
    archive = io.BytesIO()
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer,
        writer.open(name, "w", force_zip64=True) as member,
    ):
        member.write(octets)
    return archive.getvalue()


def with_flags(archive, flags):
    """Set flags in the first member's header, as an archive with a password has them."""
    changed = bytearray(archive)
    struct.pack_into("<H", changed, 6, struct.unpack_from("<H", changed, 6)[0] | flags)
    return bytes(changed)


def with_method(archive, method):
    """Name another method in the first member's header."""
    changed = bytearray(archive)
    struct.pack_into("<H", changed, 8, method)
    return bytes(changed)


def tarred(files, *, form=tarfile.PAX_FORMAT, kinds=None):
    """Give a tar archive of names and bytes; a kind makes a member something else than a file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=form) as writer:
        for name, octets in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(octets)
            member.type = (kinds or {}).get(name, tarfile.REGTYPE)
            writer.addfile(member, io.BytesIO(octets))
    return archive.getvalue()


def workbook():
    """Give what a spreadsheet program begins an .xlsx with."""
    return zipped(
        {
            "[Content_Types].xml": b"<Types/>",
            "_rels/.rels": b"<Relationships/>",
            "xl/workbook.xml": b"<workbook/>",
        }
    )
