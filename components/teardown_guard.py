"""What makes an accidental `pulumi destroy` stop before it has touched anything."""

from collections.abc import Sequence

import pulumi


class TeardownGuard(pulumi.ComponentResource):
    """Protected, and deleted before whatever it depends on: so nothing of that is ever deleted.

    Protected disks alone are not enough. `pulumi destroy --skip-preview` deletes all that does not
    stand below a protected resource, which is both machines and every key and password, and only
    then stops at the disks (pulumi/pkg, resource/deploy/deployment_executor.go).
    """

    def __init__(self, name: str, everything: Sequence[pulumi.Resource]) -> None:
        opts = pulumi.ResourceOptions(protect=True, depends_on=list(everything))
        super().__init__("postgres-barman:index:TeardownGuard", name, None, opts)
        self.register_outputs({})
