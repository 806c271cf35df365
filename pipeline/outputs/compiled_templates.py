"""Keeps compiled templates where Python keeps compiled modules; compiling takes a tenth of a small run.

What is kept names the digest of its source and the versions of the template engine and of Python:
where one of them is another, it is compiled again. Where nothing can be written it always is.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemBytecodeCache

if TYPE_CHECKING:
    from jinja2.bccache import Bucket


class CompiledTemplates(FileSystemBytecodeCache):
    """The compiled templates of one folder.

    Args:
        templates: The folder with their sources.
    """

    def __init__(self, templates: Path) -> None:
        beside = Path(cache_from_source(str(templates / "any.py"))).parent
        super().__init__(str(beside), f"%s.{sys.implementation.cache_tag}.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take a template as it was compiled before, if it was and can be read."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a compiled template, unless this Python is to keep nothing compiled or cannot."""
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)
