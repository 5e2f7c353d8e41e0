"""A dead SSH agent does not stop an update.

The official command plugin connects to SSH_AUTH_SOCK before it connects to a machine, though all
our connections have their key, and fails where nobody listens: in a terminal session that outlived
its login, say, whose agent was a forwarded one. Nothing tells it not to: an empty `agentSocketPath`
is connected to as well (pulumi-command, provider/pkg/provider/remote/connection.go), and its
environment is the engine's, which this program cannot change.
"""

import atexit
import socket
import threading
from pathlib import Path

import pulumi


def stand_in_for_a_dead_one(path: str | None) -> None:
    """Where nobody listens at `path`, listen there until this process ends, and hang up on whoever
    connects, who goes on without an agent. Warns where that is not possible."""
    if not path or _answers(path):
        return
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if Path(path).is_socket():
            Path(path).unlink()
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
    except OSError as error:
        pulumi.log.warn(
            f"The SSH agent at SSH_AUTH_SOCK={path} does not answer, and nothing can stand in for "
            f'it ({error}). If this update fails with "dial unix", type: '
            "env -u SSH_AUTH_SOCK pulumi up"
        )
        return
    atexit.register(Path(path).unlink, missing_ok=True)
    threading.Thread(target=_hang_up, args=(server,), daemon=True).start()


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def _hang_up(server: socket.socket) -> None:
    while True:
        server.accept()[0].close()
