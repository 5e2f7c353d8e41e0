"""A resource provider as a gRPC server.

Its own servicer and not the SDK's experimental one: that one appends a Python traceback to every
error, does not know unknown values, and hides the engine's address, which logging needs.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

from lab.rpc.diff import top
from lab.rpc.provider import Call, Failure, Log, Provider, ProviderError
from lab.rpc.values import dump, load

# Every remote command in flight holds a thread while it waits; the engine sends at most a few
# dozen at once.
_THREADS = 96
_MESSAGE_LIMIT = 400 * 1024 * 1024


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Maps the wire protocol to a Provider."""

    def __init__(self, provider: Provider, version: str, engine: str) -> None:
        self._provider = provider
        self._version = version
        self._cancelled = threading.Event()
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine))

    def _call(self, request: Any) -> Call:
        urn = request.urn

        def send(severity: str, message: str, ephemeral: bool) -> None:
            level = {"info": engine_pb2.INFO, "warning": engine_pb2.WARNING}[severity]
            line = engine_pb2.LogRequest(
                severity=level, message=message, urn=urn, ephemeral=ephemeral
            )
            try:
                self._engine.Log(line, timeout=10)
            except grpc.RpcError:
                # The engine is going away; the request itself will say so.
                return

        return Call(urn, getattr(request, "preview", False), Log(send), self._cancelled)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        self._provider.configure(load(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        found = self._provider.check(self._call(request), load(request.olds), load(request.news))
        failures = [_failure(failure) for failure in found[1]]
        return provider_pb2.CheckResponse(inputs=dump(found[0]), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        diff = self._provider.diff(
            self._call(request), load(request.olds), load(request.old_inputs), load(request.news)
        )
        detailed = {
            path: provider_pb2.PropertyDiff(
                kind=getattr(
                    provider_pb2.PropertyDiff,
                    change.kind.upper() + ("_REPLACE" if change.replace else ""),
                ),
                inputDiff=True,
            )
            for path, change in diff.changes.items()
        }
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if detailed else response.DIFF_NONE,
            diffs=sorted({top(path) for path in detailed}),
            replaces=[path for path, change in diff.changes.items() if change.replace],
            deleteBeforeReplace=diff.delete_before_replace,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        identity, outputs = self._provider.create(self._call(request), load(request.properties))
        return provider_pb2.CreateResponse(id=identity, properties=dump(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        found = self._provider.read(
            self._call(request), request.id, load(request.properties), load(request.inputs)
        )
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=dump(found[0]), inputs=dump(found[1])
        )

    def Update(self, request: Any, context: Any) -> Any:
        outputs = self._provider.update(
            self._call(request),
            request.id,
            load(request.olds),
            load(request.old_inputs),
            load(request.news),
        )
        return provider_pb2.UpdateResponse(properties=dump(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        self._provider.delete(self._call(request), request.id, load(request.properties))
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()


def _failure(failure: Failure) -> Any:
    if top(failure.path) == failure.path:
        return provider_pb2.CheckFailure(property=failure.path, reason=failure.reason)
    # The engine looks up the value to show by a top-level name only.
    return provider_pb2.CheckFailure(reason=f"{failure.path}: {failure.reason}")


class _PlainErrors(grpc.ServerInterceptor):
    """Turns exceptions into one-line gRPC errors.

    A ProviderError is passed on as it stands. Of any other exception only its type and place are
    passed on: its text may quote the values it choked on, secrets among them.
    """

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def guarded(request: Any, context: Any) -> Any:
            try:
                return handler.unary_unary(request, context)
            except NotImplementedError:
                raise
            except ProviderError as error:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))
            except Exception as error:
                context.abort(grpc.StatusCode.INTERNAL, describe(error))

        return grpc.unary_unary_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )


def describe(error: BaseException) -> str:
    """Type and place of an unexpected exception; never its text."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    return f"unexpected {type(error).__name__} at {place} (its text is withheld: it may be secret)"


def serve(provider: Provider, version: str) -> None:
    """Run the plugin: print the port, then answer until the engine ends the process."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS),
        interceptors=[_PlainErrors()],
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ],
    )
    servicer = Servicer(provider, version, sys.argv[1])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
