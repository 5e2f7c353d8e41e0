"""What databases need of a machine."""

import json
from pathlib import Path

import pytest

from ops.onmachine import requirements


def test_what_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pg_trgm.so").touch()
    elsewhere = tmp_path / "elsewhere.so"
    elsewhere.touch()
    libraries = ["$libdir/pg_trgm", "$libdir/postgis-3", str(elsewhere), "pg_trgm", "/opt/gone"]
    requirements.main(str(tmp_path), libraries, ["C", "C.UTF-8", "xx_YY.utf8"])
    assert json.loads(capsys.readouterr().out) == [
        "library $libdir/postgis-3",
        "library /opt/gone",
        "locale xx_YY.utf8",
    ]
