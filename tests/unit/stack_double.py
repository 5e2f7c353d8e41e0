"""The program run against Pulumi's own mocks: every resource it registers, as data."""

import json
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import mocks

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "postgres-barman"
# The engine's own mark of a secret value (pulumi/sdk, resource/properties.go).
SECRET_MARK = "4dabf18193072939515e22adb298388d"


@dataclass
class Registered:
    """One resource as the program asked for it; `inputs` in the provider's own spelling, secrets
    in clear; `secret` has the paths that were marked as such."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    protect: bool
    ignore_changes: tuple[str, ...]
    secret: frozenset[str]
    depends_on: tuple[str, ...] = ()
    before_update: tuple[str, ...] = ()
    on_error: tuple[str, ...] = ()


class Recorder(mocks.MockMonitor):
    """Keeps what plain mocks do not show: parent, protection, ignored changes."""

    def __init__(self, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)
        secret: set[str] = set()
        inputs = _clear(pulumi.runtime.rpc.deserialize_properties(request.object), "", secret)
        self.registered.append(
            Registered(
                type=request.type,
                name=request.name,
                inputs=inputs,
                parent=request.parent.rpartition("::")[2],
                protect=request.protect,
                ignore_changes=tuple(request.ignoreChanges),
                secret=frozenset(secret),
                depends_on=tuple(urn.rpartition("::")[2] for urn in request.dependencies),
                before_update=tuple(request.hooks.before_update),
                on_error=tuple(request.hooks.on_error),
            )
        )
        return response


def _clear(value: Any, path: str, secret: set[str]) -> Any:
    if isinstance(value, dict):
        if SECRET_MARK in value:
            secret.add(path.removeprefix("."))
            return _clear(value["value"], path, secret)
        return {key: _clear(item, f"{path}.{key}", secret) for key, item in value.items()}
    if isinstance(value, list):
        return [_clear(item, f"{path}[{index}]", secret) for index, item in enumerate(value)]
    return value


class Answers(mocks.Mocks):
    """What the providers would answer, as far as the program reads it."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        outputs = dict(args.inputs)
        match args.typ:
            case "random:index/randomPassword:RandomPassword":
                outputs["result"] = f"secret-of-{args.name}"
            case "azure-native:network:PublicIPAddress":
                outputs["ipAddress"] = "198.51.100.7"
            case "azure-native:compute:VirtualMachine":
                outputs["vmId"] = f"vm-id-of-{args.name}"
            case "command:remote:Command":
                outputs["stdout"] = json.dumps(
                    {"changed": [], "facts": {"version": "17.6", "ended": "20261124T110000Z"}}
                )
        for name in ("resourceGroupName", "virtualNetworkName"):
            if name in args.inputs and args.typ.endswith(("ResourceGroup", "VirtualNetwork")):
                outputs["name"] = args.inputs[name]
        return f"/id/{args.name}", outputs

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise NotImplementedError(f"the program calls no provider function, yet asked {args.token}")


def configuration(stack: str, **changed: Any) -> dict[str, str]:
    """The stack's configuration as the engine hands it over: defaults of Pulumi.yaml, then
    Pulumi.<stack>.yaml, then `changed` (None removes a key)."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    chosen = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {f"{PROJECT}:{key}": item["default"] for key, item in project["config"].items()}
    # What is encrypted cannot be read here.
    values |= {
        key: value
        for key, value in chosen.items()
        if not (isinstance(value, dict) and "secure" in value)
    }
    values |= {f"{PROJECT}:{key}": value for key, value in changed.items()}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def run(
    stack: str = "dev", *, encrypted: Sequence[str] = (), **changed: Any
) -> tuple[list[Registered], dict[str, Any]]:
    """Run the program; returns its resources and its outputs (resolved, secrets in clear).

    `encrypted` are those of its settings that count as set with --secret."""
    monitor = Recorder(Answers())
    mocks.set_mocks(Answers(), project=PROJECT, stack=stack, preview=False, monitor=monitor)
    pulumi.runtime.set_all_config(
        configuration(stack, **changed), [f"{PROJECT}:{key}" for key in encrypted]
    )
    exported: dict[str, Any] = {}

    @pulumi.runtime.test
    def program() -> Any:
        outer = pulumi.export
        promises: dict[str, Any] = {}
        try:
            pulumi.export = lambda name, value: promises.__setitem__(name, value)  # type: ignore[assignment]
            runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")
        finally:
            pulumi.export = outer  # type: ignore[assignment]
        return pulumi.Output.from_input(promises).apply(exported.update)

    program()
    return monitor.registered, exported
