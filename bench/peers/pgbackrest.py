"""pgBackRest with its repository on Barman's machine, over SSH, two processes at either end, as its
guide sets it up: bundled files and block-level incrementals."""

import json
from dataclasses import dataclass
from typing import Any

from bench.peers.machines import BARMAN, FOLDER, POSTGRES, SSH, USERS, Machines

STANZA = "bench"
_REPOSITORY = "/data/pgbackrest"


@dataclass(frozen=True)
class Repository:
    """One with a compression of its own: zst or lz4, at pgBackRest's default level."""

    machines: Machines
    compression: str

    @property
    def _configuration(self) -> str:
        return f"/etc/pgbackrest/{self.compression}.conf"

    @property
    def _program(self) -> str:
        return f"pgbackrest --config={self._configuration} --stanza={STANZA}"

    @property
    def restored(self) -> str:
        """Where `restore` puts a cluster, on PostgreSQL's machine."""
        return f"{FOLDER}/pgbackrest-{self.compression}"

    def make(self) -> None:
        """Configure both ends, and create the stanza. Raises Failed."""
        both = configuration(
            {
                "process-max": "2",
                "cmd-ssh": SSH,
                "log-level-console": "warn",
                "log-level-file": "off",
                "lock-path": f"{FOLDER}/lock-{self.compression}",
                "spool-path": f"{FOLDER}/spool-{self.compression}",
                "compress-type": self.compression,
            }
        )
        # Every segment is handed over by hand: Barman is who gets WAL here.
        repository = configuration(
            {
                "repo1-path": f"{_REPOSITORY}/{self.compression}",
                "repo1-bundle": "y",
                "repo1-block": "y",
                "repo1-retention-full": "2",
                "start-fast": "y",
                "archive-check": "n",
                "archive-mode-check": "n",
            }
        )
        database = configuration({"archive-async": "y", "archive-get-queue-max": "1GiB"})
        path = {"pg1-path": self.machines.data_directory}
        self._write(BARMAN, both + repository, path | self._other(POSTGRES, "pg1"))
        self._write(POSTGRES, both + database + configuration(self._other(BARMAN, "repo1")), path)
        self.machines.run(BARMAN, f"install -d -o {USERS[BARMAN]} {_REPOSITORY}")
        self.machines.as_own_user(BARMAN, f"{self._program} stanza-create")

    def _other(self, name: str, option: str) -> dict[str, str]:
        return {
            f"{option}-host": self.machines.addresses[name],
            f"{option}-host-user": USERS[name],
            f"{option}-host-config": self._configuration,
        }

    def _write(self, name: str, general: str, stanza: dict[str, str]) -> None:
        text = f"[global]\n{general}\n[{STANZA}]\n{configuration(stanza)}"
        there = f"install -d /etc/pgbackrest && cat >{self._configuration}"
        self.machines.run(name, there, stdin=text)

    def backup(self, kind: str) -> int:
        """Take one, `full` or `incr`; the bytes that it takes in the repository."""
        self.machines.as_own_user(BARMAN, f"{self._program} --type={kind} backup")
        return self._newest()["info"]["repository"]["delta"]

    def newest(self) -> str:
        """The newest backup's label."""
        return self._newest()["label"]

    def _newest(self) -> dict[str, Any]:
        said = self.machines.as_own_user(BARMAN, f"{self._program} --output=json info")
        return json.loads(said)[0]["backup"][-1]

    def push(self, folder: str) -> None:
        """Hand the segments in a folder of PostgreSQL's machine over to the repository."""
        push = f"{self._program} --no-archive-async archive-push"
        self.machines.as_own_user(POSTGRES, f"for file in {folder}/*; do {push} $file; done")

    def restore(self, label: str, *, delta: bool = False) -> None:
        """A backup into `restored`: an empty folder or, with `delta`, one restored before."""
        make = "true" if delta else f"rm -rf {self.restored} && mkdir -m 700 {self.restored}"
        options = f"--pg1-path={self.restored} --set={label} {'--delta' if delta else ''}"
        # A restore says what is to be replayed then; who replays here says it itself.
        self.machines.as_own_user(
            POSTGRES, f"{make}\n{self._program} {options} --type=immediate restore"
        )

    def get_command(self) -> str:
        """The restore_command of a cluster in `restored`, ahead of what is asked for."""
        return f'{self._program} --pg1-path={self.restored} archive-get %f "%p"'

    def forget_spool(self) -> None:
        """What came ahead in an earlier round."""
        self.machines.run(POSTGRES, f"rm -rf {FOLDER}/spool-{self.compression}")


def configuration(settings: dict[str, str]) -> str:
    """Lines of pgBackRest's configuration. Pure."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())
