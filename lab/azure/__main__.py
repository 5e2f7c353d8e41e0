"""The plugin's entry: finds the lab by PULUMI_HOME, which lies in it, and serves."""

import os
from importlib.metadata import version
from pathlib import Path

from lab.azure.backend import LabBackend
from lab.azure.provider import AzureProvider
from lab.azure.service import Azure
from lab.azure.store import Store
from lab.names import Lab
from lab.rpc.server import serve


def _open(stack: str) -> Azure:
    lab = Lab.of(Path(os.environ["PULUMI_HOME"]).absolute().parent, stack)
    return Azure(Store(lab.directory / "store"), LabBackend(lab))


serve(AzureProvider(_open), version("pulumi-azure-native"))
