"""Definitions, and large objects with theirs, by pg_dump and pg_restore of this machine."""

import re
from pathlib import Path

from host.domain.quoting import identifier
from ops.onmachine.compare import entries
from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, Failed

# pg_restore's words for what an interrupted one has made already, and for what is ours to decide:
# an event trigger belongs to a superuser, and here that is this server's own.
_MADE = re.compile(r"already exists|multiple primary keys|is already (a partition|member)")
_OURS = re.compile(r"permission denied to change owner of event trigger")
# Before a cutover, for a table that somebody has locked.
_LOCK_WAIT = "60s"
# Of what is said at most.
_SAID = 5
_COMMON = ("--no-security-labels", "--no-subscriptions", "--no-tablespaces")


def dump(job: Job, snapshot: str) -> None:
    """Everything but rows, into the job's folder. Raises Failed."""
    _dump(job, _kept(job), f"--snapshot={snapshot}")
    listed = job.here.output(["pg_restore", "--list", _kept(job)])
    Path(job.folder, "wanted").write_text(wanted(listed))


def changed(job: Job) -> list[str]:
    """What the source defines otherwise than when it was dumped, by kind and name. Raises
    Failed."""
    now = f"{job.folder}/definitions-now"
    _dump(job, now, f"--lock-wait-timeout={_LOCK_WAIT}")
    before, after = (
        entries.parse(job.here.output(["pg_restore", "-f", "-", archive]))
        for archive in (_kept(job), now)
    )
    Path(now).unlink()
    differing = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    return sorted(f"{key.type} {key.name}" for key in differing)


def _kept(job: Job) -> str:
    return f"{job.folder}/definitions"


def _dump(job: Job, file: str, option: str) -> None:
    left = [f"--exclude-schema={identifier(name)}" for name in (*job.schemas, NAME)]
    left += [f"--exclude-extension={identifier(name)}" for name in job.extensions]
    job.there.output(
        [
            *("pg_dump", "-w", "--format=custom", "--schema-only", option),
            *(*_COMMON, *left, f"--file={file}", f"--dbname={job.source}"),
        ]
    )


def restore(job: Job, section: str, *, again: bool, jobs: int = 1) -> None:
    """Create them here. Raises Failed where one of them could not be."""
    done = job.here.run(
        [
            *("pg_restore", "-w", f"--section={section}", f"--jobs={jobs}"),
            *(f"--use-list={job.folder}/wanted", f"--dbname={job.here.conninfo}"),
            _kept(job),
        ]
    )
    _require_all("not everything could be created", complaints(done.stderr, again=again))
    if done.returncode not in (0, 1):
        raise Failed(sessions.said(done.stderr))


# Who owns them, who may what, and what is in them; not pg_largeobject, which superusers read.
_LARGE_OBJECTS = """
SELECT count(*) || ' ' || coalesce(md5(string_agg(concat_ws(' ', oid, pg_get_userbyid(lomowner),
  lomacl, md5(lo_get(oid))), ',' ORDER BY oid)), '') FROM pg_largeobject_metadata
"""


def large_objects_differ(job: Job) -> bool:
    """Whether those of the source are not those here. Raises Failed."""
    return job.there.ask(_LARGE_OBJECTS) != job.here.ask(_LARGE_OBJECTS)


def large_objects(job: Job, snapshot: str = "") -> None:
    """All of them with owners, grants and comments, in the place of those that are here. Raises
    Failed."""
    job.here.ask("SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata")
    if job.there.ask("SELECT count(*) FROM pg_largeobject_metadata") == "0":
        return
    file = f"{job.folder}/large-objects"
    taken = [f"--snapshot={snapshot}"] if snapshot else []
    job.there.output(
        [
            *("pg_dump", "-w", "--format=custom", "--section=data", "--large-objects"),
            *("--exclude-table-data=*.*", "--no-security-labels", "--compress=none", *taken),
            *(f"--file={file}", f"--dbname={job.source}"),
        ]
    )
    done = job.here.run(["pg_restore", "-w", f"--dbname={job.here.conninfo}", file])
    Path(file).unlink()
    _require_all("large objects", complaints(done.stderr, again=False))


def _require_all(what: str, found: list[str]) -> None:
    if found:
        more = f", and {len(found) - _SAID} more" if len(found) > _SAID else ""
        raise Failed(f"{what}: {'; '.join(found[:_SAID])}{more}")


def wanted(listed: str) -> str:
    """What pg_restore is to restore, out of its own list: no rights to PostgreSQL's own functions,
    which a managed service has changed and another version may not have."""
    return "".join(
        line
        for line in listed.splitlines(keepends=True)
        if not re.match(r"\d+; \d+ \d+ (ACL|COMMENT) pg_catalog ", line)
    )


def complaints(stderr: str, *, again: bool) -> list[str]:
    """What pg_restore could not do and should have done. `again`: what it had made before is no
    complaint."""
    found, about = [], ""
    for line in stderr.splitlines():
        if "pg_restore: from TOC entry " in line:
            about = line.partition("pg_restore: from TOC entry ")[2].partition("; ")[2]
        error = re.search(r"pg_restore: error: (?:could not execute query: )?(.+)", line)
        if error and not _OURS.search(error[1]) and not (again and _MADE.search(error[1])):
            found.append(f"{error[1]} ({about})" if about else error[1])
    return found
