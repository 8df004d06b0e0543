"""TCP connections are looked up and ended through `ss`, in the network namespace of the agent."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

from blackstart_agent.errors import HostError, Unsupported
from blackstart_agent.host import programs
from blackstart_agent.host.ports.network import Connection

_TIMEOUT_S = 10.0
_BATCH = 200  # connections in one filter


class LinuxConnections:
    def check(self) -> None:
        """A connection of our own, over loopback, is ended: not every kernel is built with that."""
        programs.find("ss")
        try:
            self._try()
        except OSError as error:
            raise Unsupported(f"no connection over loopback to try it with: {error.strerror}") from error

    def _try(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname(), timeout=1)
            accepted, _ = server.accept()
            with client, accepted:
                own = Connection(*client.getsockname(), *client.getpeername())
                self.destroy([own])
                if own in self.established(lambda one: one == own):
                    raise Unsupported("this kernel cannot end TCP connections (CONFIG_INET_DIAG_DESTROY)")

    def established(self, wanted: Callable[[Connection], bool]) -> Sequence[Connection]:
        table = programs.run("ss", ("-Htn", "state", "established"), timeout_s=_TIMEOUT_S)
        return [one for one in _read(table) if wanted(one)]

    def destroy(self, found: Sequence[Connection]) -> None:
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            programs.run("ss", ("-KHtn", " or ".join(map(_filter, batch))), timeout_s=_TIMEOUT_S)


def _read(table: str) -> Iterator[Connection]:
    """Lines of `recv-q send-q own:port peer:port`."""
    for words in map(str.split, table.splitlines()):
        if len(words) >= 4:
            yield Connection(*_split(words[2]), *_split(words[3]))


def _split(end: str) -> tuple[str, int]:
    """`10.0.0.1:80`, `[fd00::1]:80`, `[fe80::1%eth0]:80` and `[::ffff:10.0.0.1]:80`."""
    host, _, port = end.rpartition(":")
    if not port.isdecimal():
        raise HostError(f'ss: "{end}" is no address with a port')
    return host.strip("[]").partition("%")[0], int(port)


def _filter(one: Connection) -> str:
    ends = (("src", one.own, one.own_port), ("dst", one.peer, one.peer_port))
    told = (f"{way} {f'[{host}]' if ':' in host else host}:{port}" for way, host, port in ends)
    return f"( {' and '.join(told)} )"
