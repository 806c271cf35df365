"""Hands on what comes to a port of a network of its own to a socket in the file system.

    python -m tests.support.forwarder PORT SOCKET

It ends with the process that started it.
"""

import asyncio
import contextlib
import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


async def hand_on(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port, path):
    async def carry(reader, writer):
        try:
            other = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(hand_on(reader, other[1]), hand_on(other[0], writer))

    server = await asyncio.start_server(carry, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
