"""The image that the lab's machines are started from."""

from pathlib import Path

from lab.machines.image import overlay


def test_a_checkout_that_its_group_may_write_makes_no_such_machine(tmp_path: Path) -> None:
    source, root = tmp_path / "rootfs", tmp_path / "machine"
    (source / "etc" / "apt").mkdir(parents=True)
    (root / "etc").mkdir(parents=True)
    (source / "etc" / "apt" / "lab").write_text("x")
    (source / "etc" / "run").write_text("y")
    for path in (source / "etc", source / "etc" / "apt", source / "etc" / "run"):
        path.chmod(0o775)
    (source / "etc" / "apt" / "lab").chmod(0o664)
    overlay(source, root)
    modes = {p.name: p.lstat().st_mode & 0o777 for p in root.rglob("*")}
    assert modes == {"etc": 0o755, "apt": 0o755, "lab": 0o644, "run": 0o755}
