"""A base backup as pg_basebackup packs it, made up in a folder."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

# The OID of the tablespace that it has, and where the server keeps it.
TABLESPACE, LOCATION = "16400", "/srv/fast"
IN_TABLESPACE = "PG_17_202406281"
FILES = {
    "backup_label": b"START WAL LOCATION: 0/2000028\n",
    "tablespace_map": f"{TABLESPACE} {LOCATION}\n".encode(),
    "PG_VERSION": b"17\n",
    "base/5/1259": b"pages" * 400_000,
    "postgresql.auto.conf": b"",
    "global/pg_control": bytes(8192),
}
FILES_IN_TABLESPACE = {f"{IN_TABLESPACE}/5/16401": b"more pages" * 1000}


def make(
    data: Path,
    files: Mapping[str, bytes] = FILES,
    in_tablespace: Mapping[str, bytes] = FILES_IN_TABLESPACE,
) -> None:
    """base.tar.zst, the tablespace's, and the manifest of both."""
    data.mkdir(parents=True)
    pack(data / "base.tar.zst", files)
    pack(data / f"{TABLESPACE}.tar.zst", in_tablespace)
    mapped = {f"pg_tblspc/{TABLESPACE}/{name}": text for name, text in in_tablespace.items()}
    (data / "backup_manifest").write_bytes(manifest({**files, **mapped}))


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """A tar as PostgreSQL sends it: folders before what is in them, no checksum in zstd's frame."""
    tar = io.BytesIO()
    folders = {"pg_wal", *(str(each) for name in files for each in Path(name).parents)} - {"."}
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            archive.addfile(info, io.BytesIO(content))
    compress = ["zstd", "--quiet", "--no-check", "-1"]
    done = subprocess.run(compress, input=tar.getvalue(), capture_output=True, check=True)
    path.write_bytes(done.stdout)


def manifest(files: Mapping[str, bytes], algorithm: str = "SHA256") -> bytes:
    """As PostgreSQL writes it (backup_manifest.c)."""
    lines = ",\n".join(_line(name, content, algorithm) for name, content in files.items())
    body = f'{{ "PostgreSQL-Backup-Manifest-Version": 2,\n"Files": [\n{lines}\n],\n'
    ranges = '[\n{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }\n]'
    body += f'"WAL-Ranges": {ranges},\n'
    checksum = hashlib.sha256(body.encode()).hexdigest()
    return f'{body}"Manifest-Checksum": "{checksum}"}}\n'.encode()


def _line(name: str, content: bytes, algorithm: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    try:
        path = f'"Path": {json.dumps(raw.decode())}'
    except UnicodeDecodeError:
        path = f'"Encoded-Path": "{raw.hex()}"'
    checksum = hashlib.sha256(content).hexdigest()
    return (
        f'{{ {path}, "Size": {len(content)}, "Last-Modified": "2026-12-01 00:00:00 GMT", '
        f'"Checksum-Algorithm": "{algorithm}", "Checksum": "{checksum}" }}'
    )
