"""Values and differences as they travel between the engine and the lab's plugins."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.rpc.diff import Diff, compare, paths
from lab.rpc.provider import Failure, ProviderError
from lab.rpc.server import Servicer, _PlainErrors
from lab.rpc.values import UNKNOWN, Secret, dump, has_unknown, load, plain, without

leaves = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text()
    | st.just(UNKNOWN)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | inner.map(Secret)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), trees, max_size=3))
def test_values_come_back_as_they_went(values: dict[str, Any]) -> None:
    assert load(dump(values)) == values


def test_markers_are_the_sdks() -> None:
    assert dump({"a": UNKNOWN})["a"] == rpc.UNKNOWN
    secret = dump({"a": Secret("x")})["a"]
    assert isinstance(secret, struct_pb2.Struct)
    assert secret[rpc._special_sig_key] == rpc._special_secret_sig
    output = struct_pb2.Struct()
    output.update({"a": {rpc._special_sig_key: rpc._special_output_value_sig, "secret": True}})
    assert load(output) == {"a": Secret(UNKNOWN)}


def test_secrets_do_not_print() -> None:
    assert "hunter2" not in repr({"a": [Secret("hunter2")]})


@given(trees)
def test_nothing_differs_from_itself_unless_unknown(tree: Any) -> None:
    assert has_unknown(tree) or paths({"a": tree}, {"a": tree}) == {}


@given(trees, trees)
def test_whatever_differs_is_found(one: Any, other: Any) -> None:
    if plain(one) != plain(other):
        assert paths({"a": one}, {"a": other}) != {}


def test_paths_are_the_engines() -> None:
    old = {"a": {"b": [1, {"c": 2}], "x-y": 1}, "gone": 1}
    new = {"a": {"b": [1, {"c": 3}, 4], "x-y": 2}, "new": Secret("s")}
    assert paths(old, new) == {
        "a.b[1].c": "update",
        "a.b[2]": "add",
        'a["x-y"]': "update",
        "gone": "delete",
        "new": "add",
    }


def test_without_looks_through_secrets() -> None:
    tree = {"a": Secret({"b": 1, "c": 2}), "d": 3}
    assert without(tree, "a", "b") == {"a": Secret({"c": 2}), "d": 3}
    assert without(tree, "nothing", "here") == tree


class _Fussy:
    """Refuses everything, in its own way each time."""

    def configure(self, variables: Any) -> None: ...

    def check(self, call: Any, olds: Any, news: Any) -> Any:
        return news, [Failure("a", "no"), Failure("a.b[0]", "nor this")]

    def diff(self, call: Any, state: Any, inputs: Any, news: Any) -> Diff:
        return compare(inputs, news, lambda path: path == "a")

    def create(self, call: Any, inputs: Any) -> Any:
        raise ProviderError("because")

    def read(self, call: Any, resource_id: str, state: Any, inputs: Any) -> Any:
        return None

    def update(self, call: Any, resource_id: str, state: Any, inputs: Any, news: Any) -> Any:
        raise ValueError(f"cannot use {plain(news)}")

    def delete(self, call: Any, resource_id: str, state: Any) -> None: ...


@pytest.fixture
def plugin() -> Any:
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[_PlainErrors()])
    servicer = Servicer(_Fussy(), "1.2.3", "127.0.0.1:1")
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None)


URN = "urn:pulumi:lab::project::a:b:C$d:e:F::name"


def test_failures_name_top_level_properties_only(plugin: Any) -> None:
    answer = plugin.Check(provider_pb2.CheckRequest(urn=URN, news=dump({"a": 1})))
    assert [(f.property, f.reason) for f in answer.failures] == [
        ("a", "no"),
        ("", "a.b[0]: nor this"),
    ]


def test_a_difference_tells_what_replaces(plugin: Any) -> None:
    answer = plugin.Diff(
        provider_pb2.DiffRequest(urn=URN, old_inputs=dump({"a": 1, "b": 1}), news=dump({"a": 2}))
    )
    assert (answer.changes, list(answer.replaces)) == (answer.DIFF_SOME, ["a"])
    assert answer.detailedDiff["a"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE
    assert answer.detailedDiff["b"].kind == provider_pb2.PropertyDiff.DELETE


def test_what_is_gone_has_no_id(plugin: Any) -> None:
    assert plugin.Read(provider_pb2.ReadRequest(urn=URN, id="x")).id == ""


def test_errors_are_plain_and_hold_no_secret(plugin: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        plugin.Create(provider_pb2.CreateRequest(urn=URN))
    assert raised.value.details() == "because"  # type: ignore[attr-defined]
    news = dump({"password": Secret("hunter2")})
    with pytest.raises(grpc.RpcError) as withheld:
        plugin.Update(provider_pb2.UpdateRequest(urn=URN, news=news))
    assert "ValueError" in withheld.value.details()  # type: ignore[attr-defined]
    assert "hunter2" not in withheld.value.details()  # type: ignore[attr-defined]
