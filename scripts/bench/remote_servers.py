"""Servers of scripts/bench/remote: moto, an object store, and a proxy that makes a server far away."""
import asyncio
import contextlib
import pathlib
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

from common import ROOT


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(name, arguments, port, **request):
    """Runs a program of .deps/servers until the block ends. It has to answer a request at its port first."""
    program = ROOT / ".deps/servers" / name
    if not program.exists():
        raise SystemExit(f"{program} is not there; scripts/setup --servers installs it")
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/lab", **request)).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"{program} doesn't answer")
        yield port
    finally:
        process.kill()
        process.wait()


def moto():
    """Runs an object store with the bucket `lab`, and yields its port."""
    port = free_port()
    return running("python/bin/moto_server", ["-H", "127.0.0.1", "-p", str(port)], port, method="PUT", data=b"")


def nginx(folder, root):
    """Runs a web server for the folder `root`, and yields its port. Its own files are in `folder`."""
    port, folder = free_port(), pathlib.Path(folder)
    folder.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}} "
        f"http {{ access_log {folder}/access.log; {temporary} server {{ listen 127.0.0.1:{port}; root '{root}'; }} }}"
    )
    return running("nginx/usr/sbin/nginx", ["-e", "error.log", "-p", folder, "-c", "nginx.conf"], port)


class Line:
    """A network line that all connections share: what is sent takes its turn at `rate` bytes per second, and arrives
    `delay` seconds after it was sent."""

    def __init__(self, delay, rate):
        self.delay, self.rate, self.free = delay, rate, 0.0

    def arrival(self, size):
        """Sends `size` bytes. Returns when the last of them arrives."""
        self.free = max(self.free, time.monotonic()) + size / self.rate
        return self.free + self.delay


async def copy(reader, writer, line):
    """Copies a stream over a line, or at once if there is none. At most 4 MiB are on the way."""
    pieces = asyncio.Queue(64)

    async def send():
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0, due - time.monotonic()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    piece = True
    while piece:
        piece = await reader.read(1 << 16)
        await pieces.put((line.arrival(len(piece)) if line else 0, piece))
    await sending


class Proxy:
    """A proxy of the server at `port`, in a thread. Its answers come `delay` seconds later, and all connections share
    `rate` bytes per second. `port` is the proxy's own, `connections` the number of those that it got."""

    def __init__(self, port, delay, rate=float("inf")):
        self.port, self.connections, line = free_port(), 0, Line(delay, rate)

        async def relay(reader, writer):
            self.connections += 1
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            streams = copy(reader, far_writer, None), copy(far_reader, writer, line)
            await asyncio.gather(*streams, return_exceptions=True)

        async def serve():
            server = await asyncio.start_server(relay, "127.0.0.1", self.port)
            started.set()
            async with server:
                await server.serve_forever()

        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
        started.wait()
