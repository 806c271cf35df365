"""Files of a folder that came from somebody else: opened without waiting, read within bounds."""

import errno
import os
import socket
from contextlib import closing

import pytest

from pipeline.folder_files import open_in_folder, read_in_folder, why_not


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def listening(path):
    with closing(socket.socket(socket.AF_UNIX)) as line:
        line.bind(str(path))


@pytest.mark.parametrize("thing", [pipe, folder, listening])
def test_nothing_is_opened_but_a_regular_file(tmp_path, thing):
    """A pipe could be opened at once without a writer, and a folder be read as nothing."""
    thing(tmp_path / "file")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which one depends on the thing.
        open_in_folder(tmp_path / "file")

    assert caught.value.errno in {errno.EINVAL, errno.ENXIO}


def test_a_link_is_not_followed(tmp_path):
    """Wherever it leads, no file of ours is one."""
    (tmp_path / "file").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        open_in_folder(tmp_path / "file")


def test_a_small_file_is_read_to_its_bound_and_no_further(tmp_path):
    """The last byte that may be is read; a file of a terabyte is refused after a little of it."""
    (tmp_path / "file").write_bytes(b"x" * 1_000)

    assert len(read_in_folder(tmp_path / "file", 1_000)) == 1_000
    for size in (1_001, 1 << 40):
        os.truncate(tmp_path / "file", size)
        with pytest.raises(OSError, match="too large") as caught:
            read_in_folder(tmp_path / "file", 1_000)
        assert why_not(caught.value) == "is larger than any such file of ours"
