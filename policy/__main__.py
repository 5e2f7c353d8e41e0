"""The policy pack as the engine starts it: `pulumi preview --policy-pack policy`."""

import json
from pathlib import Path

from pulumi_policy import PolicyPack
from rules import policies

PolicyPack(
    name="postgres-barman",
    policies=policies(),
    initial_config=json.loads(Path(__file__).with_name("config.json").read_text()),
)
