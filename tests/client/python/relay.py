"""The network between a client and a server: a port that passes bytes on to another."""

import socket
import struct
import threading


class Relay:
    """Leaving `with` cuts it for good."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self._to = (host, int(port))
        self._lock = threading.Lock()
        self._connections = set()
        self._servers, self._muted, self._lingering = set(), set(), set()
        self._up = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()
        self._listener.close()

    def mute(self):
        """What the server says on the connections that are there gets lost."""
        with self._lock:
            self._muted |= self._servers

    def cut(self):
        """Resets the connections that are there."""
        with self._lock:
            connections, self._connections = self._connections, set()
        self._reset(connections)

    def down(self):
        """From now on new connections end at once, too."""
        with self._lock:
            self._up = False
        self.cut()

    def down_for_clients(self):
        """The same, but of the connections that are there the server does not learn."""
        with self._lock:
            self._up = False
            self._lingering |= self._servers
            clients, self._connections = self._connections - self._servers, set(self._servers)
        self._reset(clients)

    @staticmethod
    def _reset(connections):
        for each in connections:
            # Lingering for no time is a reset; shutting down wakes whoever reads.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def up(self):
        with self._lock:
            self._up = True

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._to)
            except OSError:
                client.close()
                continue
            with self._lock:
                if not self._up:
                    client.close()
                    server.close()
                    continue
                self._connections |= {client, server}
                self._servers.add(server)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source, target):
        try:
            while data := source.recv(1 << 16):
                if source not in self._muted:
                    target.sendall(data)
            if target not in self._lingering:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
