"""A Dask cluster of a test's own: scheduler and workers as processes, which trust one authority."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import trustme

from pipeline.cluster.connection import RESOURCE
from tests.support.crash import wait_until

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"


def certify(authority, folder, name):
    """Write a certificate of an authority and its private key; give the three files of TLS."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}-{part}.pem" for part in ("ca", "cert", "key")]
    leaf = authority.issue_cert(HOST, common_name=name)
    authority.cert_pem.write_to_path(paths[0])
    leaf.cert_chain_pems[0].write_to_path(paths[1])
    paths[2].touch(0o600)
    leaf.private_key_pem.write_to_path(paths[2])
    return paths


class DaskCluster:
    """A scheduler and workers; each worker may start one carrier at once.

    Args:
        folder: Where certificates, the workers' folders and what they say go.
        environment: What the workers' machines name beside the path to programs.
    """

    def __init__(self, folder, environment):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.environment = environment
        self.files = certify(trustme.CA(), folder, "everybody")
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self.scheduler, self.workers = None, []
        self._processes = []

    @property
    def address(self):
        return f"tls://{HOST}:{self.port}"

    @property
    def settings(self):
        """The lines of settings that lead a run here."""
        names = ("ca_file", "cert_file", "key_file")
        files = [f'{name} = "{path}"' for name, path in zip(names, self.files, strict=True)]
        return ["[cluster]", f'address = "{self.address}"', *files]

    def start_scheduler(self):
        """Start the scheduler, and wait until it listens."""
        self.scheduler = self._start("scheduler", "--port", self.port)
        wait_until(lambda: self._listens() or self.scheduler.poll() is not None)

    def _listens(self):
        with socket.socket() as asked:
            return asked.connect_ex((HOST, self.port)) == 0

    def start_worker(self):
        """Start a worker; it finds the scheduler, be that there already or not."""
        name = f"worker-{len(self._processes)}"
        own = self.folder / name
        options = ["--no-nanny", "--nthreads", 1, "--resources", f"{RESOURCE}=1"]
        options += ["--local-directory", own, "--name", name, "--death-timeout", 60]
        self.workers.append(self._start("worker", self.address, *options))

    def start(self, workers=2):
        self.start_scheduler()
        for _ in range(workers):
            self.start_worker()

    def _start(self, kind, *arguments):
        ca, cert, key = self.files
        words = ["--host", HOST, "--no-dashboard", *arguments, "--protocol", "tls"]
        words += ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
        said = self.folder / f"{len(self._processes)}-{kind}.txt"
        with said.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "TMPDIR": os.environ["TMPDIR"],
                    "DASK_TEMPORARY_DIRECTORY": str(self.folder),
                    "PYTHONPATH": str(ROOT),
                    **self.environment,
                },
            )
        self._processes.append(process)
        return process

    def stop(self):
        """End every process that is still there."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@contextlib.contextmanager
def cluster(folder, environment, workers=2):
    """Give a running cluster; it is gone at the end."""
    made = DaskCluster(folder, environment)
    try:
        made.start(workers)
        yield made
    finally:
        made.stop()
