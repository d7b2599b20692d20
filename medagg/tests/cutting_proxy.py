"""A way to a server that breaks off: for clients that have to find their way back."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK = 1 << 20


@dataclass
class CuttingProxy:
    """Passes connections on to ``target``, a port of 127.0.0.1.

    Each number of ``cuts``, in turn, ends the connection that is the first to bring so many bytes
    from the server: in order, as by a proxy that has had enough. ``requests`` has the heads of
    what clients asked, in order.
    """

    target: int
    cuts: list[int]
    requests: list[str] = field(default_factory=list)
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=[client], daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            thread = threading.Thread(target=self._pass_up, args=[client, server], daemon=True)
            thread.start()
            with contextlib.suppress(OSError):  # either side may hang up at any time
                self._pass_down(server, client)
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _pass_up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := client.recv(BLOCK):
                with self._lock:
                    self.requests.append(block.decode("latin-1"))
                server.sendall(block)

    def _pass_down(self, server: socket.socket, client: socket.socket) -> None:
        passed, buffer = 0, memoryview(bytearray(BLOCK))
        while got := server.recv_into(buffer):
            client.sendall(buffer[:got])
            passed += got
            with self._lock:
                if self.cuts and passed >= self.cuts[0]:
                    self.cuts.pop(0)
                    return


@contextlib.contextmanager
def cut_connections(target: int, *cuts: int) -> Iterator[CuttingProxy]:
    """A proxy in front of a port of 127.0.0.1 for as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(target, list(cuts), port=listener.getsockname()[1])
        threading.Thread(target=proxy.serve, args=[listener], daemon=True).start()
        try:
            yield proxy
        finally:
            # A blocked accept() does not notice that its socket is closed.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
