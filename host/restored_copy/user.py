"""What is done as another user: programs, and work of our own."""

import os
import pwd
from collections.abc import Callable, Sequence


def is_own(user: str) -> bool:
    """Whether this process is that user's already."""
    return pwd.getpwnam(user).pw_uid == os.geteuid()


def argv_as(user: str, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` as `user`, which is no login to be logged."""
    if is_own(user):
        return list(argv)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *argv]


def environment(user: str) -> dict[str, str]:
    """What a program of this user's finds in its environment."""
    return {**os.environ, "HOME": pwd.getpwnam(user).pw_dir}


def child(user: str, work: Callable[[], None]) -> int:
    """Begin `work` in a process of the user's. Returns its id; it ends with 0 when that is done."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        account = pwd.getpwnam(user)
        if not is_own(user):
            os.initgroups(user, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        os.umask(0o077)
        os.environ["HOME"] = account.pw_dir
        work()
        code = 0
    finally:
        os._exit(code)
