"""Plugins land where the engine looks, and the official ones go first."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import plugins
from lab.plugins import AZURE, STAND_INS


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own, and a `pulumi` that cannot reach anything."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:{os.defpath}")
    return _pulumi(programs, "exit 1")


def _pulumi(programs: Path, script: str) -> Path:
    fake = programs / "pulumi"
    fake.write_text(f"#!/bin/sh\necho run >> {programs}/runs\n{script}\n")
    fake.chmod(0o755)
    return fake


def _runs(away: Path) -> int:
    note = away.with_name("runs")
    return len(note.read_text().splitlines()) if note.exists() else 0


def test_all_three_are_written_and_nothing_is_downloaded_twice(away: Path, tmp_path: Path) -> None:
    for home in (tmp_path / "one", tmp_path / "two"):
        plugins.install(home)
        for plugin in (AZURE, *STAND_INS):
            script = plugin.executable(home)
            assert os.access(script, os.X_OK)
            assert f"-m {plugin.module} " in script.read_text()
    assert _runs(away) == 1


def test_an_official_plugin_stays(away: Path, tmp_path: Path) -> None:
    official = STAND_INS[0].executable(tmp_path)
    official.parent.mkdir(parents=True)
    official.write_bytes(b"\x7fELF")
    plugins.install(tmp_path)
    assert official.read_bytes() == b"\x7fELF"
    Path(f"{official.parent}.partial").touch()
    plugins.install(tmp_path)
    assert official.read_bytes() != b"\x7fELF"
    assert not Path(f"{official.parent}.partial").exists()


def test_an_official_plugin_of_another_home_is_used_and_stays_there(
    away: Path, tmp_path: Path
) -> None:
    lab, plan = tmp_path / "lab", tmp_path / "plan"
    plugins.install(lab)
    command, random = (plugin.executable(lab) for plugin in STAND_INS)
    command.write_bytes(b"\x7fELF")
    plugins.install(plan, lab)
    shared, written = (plugin.executable(plan) for plugin in STAND_INS)
    assert shared.read_bytes() == b"\x7fELF"
    assert shared.parent.is_dir() and not shared.parent.is_symlink()
    assert written.read_text() == random.read_text()
    plugins.install(plan, lab)
    assert command.read_bytes() == shared.read_bytes() == b"\x7fELF"


def test_a_download_goes_first(away: Path, tmp_path: Path) -> None:
    folder = '"$PULUMI_HOME/plugins/resource-$4-$5"'
    _pulumi(
        away.parent,
        f"mkdir -p {folder} && printf ELF > {folder}/pulumi-resource-$4",
    )
    plugins.install(tmp_path)
    assert [p.executable(tmp_path).read_text() for p in STAND_INS] == ["ELF", "ELF"]
    plugins.install(tmp_path)
    assert _runs(away) == 2


def test_a_silent_network_costs_seconds_once(
    away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_FIRST_BYTE", 0.3)
    _pulumi(away.parent, "exec sleep 60")
    started = time.monotonic()
    plugins.install(tmp_path)
    assert time.monotonic() - started < 5
    assert _runs(away) == 1


def test_without_a_pulumi_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plugins.install(tmp_path)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("plugin", [AZURE, *STAND_INS], ids=lambda plugin: plugin.name)
def test_plugins_start(plugin: plugins.Plugin, tmp_path: Path) -> None:
    plugins.install(tmp_path)
    with subprocess.Popen(
        [plugin.executable(tmp_path), "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={"PULUMI_HOME": str(tmp_path / "home"), "PATH": os.defpath},
    ) as running:
        assert running.stdout is not None
        port = running.stdout.readline()
        running.kill()
    assert port.strip().isdigit(), sys.executable
