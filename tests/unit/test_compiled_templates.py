"""Templates are compiled once and kept where Python keeps compiled modules, if anything may be."""

import subprocess
import sys

TEMPLATES = ("report.html.j2", "parts.html.j2")
PROGRAM = f"""
from jinja2 import Environment
from pipeline.outputs.report import _environment
compiled, generate = [], Environment._generate
def counted(self, *given, **options):
    compiled.append(given)
    return generate(self, *given, **options)
Environment._generate = counted
for name in {TEMPLATES}:
    _environment().get_template(name)
print(len(compiled))
"""


def compiled_with(cache, *options):
    """Give how many templates a process compiles that keeps compiled modules in this folder."""
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-X", f"pycache_prefix={cache}", *options, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return int(done.stdout)


def test_a_template_is_compiled_by_the_first_process_that_uses_it(tmp_path):
    """The next takes what was kept; what is kept and damaged is made anew."""
    assert compiled_with(tmp_path) == len(TEMPLATES)
    assert compiled_with(tmp_path) == 0

    kept = sorted(tmp_path.rglob("*.jinja"))
    kept[0].write_bytes(kept[0].read_bytes()[:-9])
    assert len(kept) == len(TEMPLATES)
    assert compiled_with(tmp_path) == 1


def test_a_page_is_made_where_no_compiled_template_can_or_may_be_kept(tmp_path):
    """Neither a place that is no folder nor a Python that writes no bytecode is an error."""
    no_folder = tmp_path / "file"
    no_folder.touch()

    assert compiled_with(no_folder) == len(TEMPLATES)
    assert compiled_with(tmp_path / "unused", "-B") == len(TEMPLATES)
    assert not (tmp_path / "unused").exists()
