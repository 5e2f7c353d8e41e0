"""What operators see is what there is."""

import pytest

from ops.cli import common


def test_a_name_that_reads_like_a_picture_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    common.console.print("database kunden:x:alt", markup=False)
    assert "kunden:x:alt" in capsys.readouterr().out
