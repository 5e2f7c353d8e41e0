"""What a stack would create, worked out offline: no account, no root, no lab, no trace.

The engine runs in a throw-away home with the lab's azure-native and, unless this checkout's lab has
the official ones, its stand-ins for the other plugins, so that the plan of the Azure stack can be
read, and tested, on any machine. The policy pack has its say as in a pull request.
"""

import json
import sys
import tempfile
from pathlib import Path

from engine.environment import Workspace, environment
from engine.project import copy_for_plan
from engine.pulumi import Pulumi
from lab import plugins


def plan(root: Path, engine: Path, stack: str) -> int:
    """Write the preview of `stack` as JSON to stdout, all else to stderr; return its exit code.

    Raises engine.errors.ProjectError where the stack has no usable configuration.
    """
    with tempfile.TemporaryDirectory(prefix="plan-") as scratch:
        workspace = Workspace(Path(scratch) / "workspace")
        workspace.prepare()
        plugins.install(workspace.home, Workspace(root / ".lab").home)
        pack = Path(scratch) / "policy"
        plugins.install_policy_pack(workspace.home, root / "policy", pack)
        # The JSON of a preview has no policy violations (pulumi/pkg, backend/display/json.go): they
        # are read from the log of events, which is an option for debugging.
        events = Path(scratch) / "events"
        debugging = {"PULUMI_DEBUG_COMMANDS": "true"}
        around = environment(workspace, engine) | debugging | {"NO_COLOR": "1"}
        copy, sealed = copy_for_plan(root, stack, Path(scratch) / "project")
        pulumi = Pulumi(root, around, stack, copy.settings)
        pulumi.create_stack()
        for key in sealed:
            # Any address or password will do to work out which resources there would be.
            pulumi.configure("--secret", key, "https://encrypted.invalid/").check_returncode()
        judged = ("--policy-pack", str(pack), "--event-log", str(events))
        done = pulumi.preview("--json", "--skip-plugin-pre-install", *judged)
        sys.stderr.write(done.stderr)
        _report(done.stdout)
        _report_violations(events)
    return done.returncode


def _report(answer: str) -> None:
    """Plan to stdout, and its diagnostics once more, readable, to stderr."""
    try:
        planned = json.loads(answer)
    except json.JSONDecodeError:
        sys.stderr.write(answer)
        return
    sys.stdout.write(answer)
    for diagnostic in planned.get("diagnostics", []):
        if diagnostic.get("severity") in ("warning", "error"):
            sys.stderr.write(diagnostic.get("message", "").rstrip() + "\n")


def _report_violations(events: Path) -> None:
    """What the policy pack objects to, a sentence each, to stderr."""
    lines = events.read_text().splitlines() if events.exists() else []
    for event in (json.loads(line) for line in lines):
        if violation := event.get("policyEvent"):
            level, rule = violation["enforcementLevel"], violation["policyName"]
            sentence = violation["message"].rstrip().rpartition("\n")[2]
            sys.stderr.write(f"policy {rule} ({level}): {sentence}\n")
