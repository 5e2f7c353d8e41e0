"""WAL as Barman archives it, read without Barman."""

import gzip
import lzma
import os
from collections.abc import Callable

import pytest

from host.domain.compression import START, Content, Damaged, readable, uncompressed

PAGE = b"\x16\xd1" + os.urandom(100_000) + bytes(100_000)
PACK = [gzip.compress, lzma.compress]


def piecewise(archived: bytes, size: int) -> bytes:
    found: list[bytes] = []
    content = Content(found.append)
    for at in range(0, len(archived), size):
        content.add(archived[at : at + size])
    content.end()
    return b"".join(found)


@pytest.mark.parametrize("pack", [*PACK, bytes])
@pytest.mark.parametrize("size", [START, 1000, 10**6])
def test_in_whatever_pieces_it_comes(pack: Callable[[bytes], bytes], size: int) -> None:
    assert piecewise(pack(PAGE), size) == PAGE
    assert uncompressed(pack(PAGE)) == PAGE


@pytest.mark.parametrize("pack", PACK)
def test_several_in_a_row_are_one_and_zeros_are_padding(pack: Callable[[bytes], bytes]) -> None:
    assert piecewise(pack(PAGE) + pack(b"more") + bytes(1000), 100) == PAGE + b"more"


@pytest.mark.parametrize("pack", PACK)
def test_damage_is_found(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(PAGE)
    middle = len(packed) // 2
    for harmed in (
        packed[:-1],
        packed[:middle],
        packed[:START],
        packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :],
        packed + b"something",
    ):
        with pytest.raises(Damaged):
            uncompressed(harmed)
        with pytest.raises(Damaged):
            piecewise(harmed, 1000)


def test_what_is_not_known_is_left_to_barman() -> None:
    for archived in (b"\x28\xb5\x2f\xfd zstd", b"1\t0/3000000\tno reason\n", b"", bytes(100)):
        assert not readable(archived[:START])
        assert uncompressed(archived) is None
