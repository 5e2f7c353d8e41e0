"""What a pull request may not do to the stack, each rule with its sentence for the reviewer.

The rules look at what the engine is about to register, not at the program: they hold for whatever
the program becomes.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

NSG = "azure-native:network:NetworkSecurityGroup"
RULE = "azure-native:network:SecurityRule"
NIC = "azure-native:network:NetworkInterface"
DISK = "azure-native:compute:Disk"
VM = "azure-native:compute:VirtualMachine"
LOCK = "azure-native:authorization:ManagementLockByScope"
# Azure has no tags on these.
UNTAGGED = frozenset({"azure-native:network:Subnet", RULE, LOCK})
# Azure's own words for everybody; AzureCloud is every customer of Azure.
EVERYBODY = frozenset({"*", "any", "internet", "azurecloud"})
# A wider range is the Internet in slices: 0.0.0.0/1 and 128.0.0.0/1, or 2000::/3.
WIDEST = {4: 8, 6: 16}
# Only this machine may have a public address: it is the jump host.
JUMP_HOST = "barman"

Check = Callable[[ResourceValidationArgs], Iterator[str]]


def world_open(args: ResourceValidationArgs) -> Iterator[str]:
    """Rules of a security group that let everybody in."""
    rules = args.props.get("securityRules", []) if args.resource_type == NSG else [args.props]
    for rule in rules:
        if (rule["direction"], rule["access"]) != ("Inbound", "Allow"):
            continue
        sources = [rule.get("sourceAddressPrefix"), *(rule.get("sourceAddressPrefixes") or [])]
        for source in filter(None, sources):
            if _is_everybody(source):
                name = rule.get("name") or rule.get("securityRuleName") or args.name
                port = rule.get("destinationPortRange") or ", ".join(rule["destinationPortRanges"])
                yield (
                    f"rule {name} opens port {port} to the world ({source}). "
                    "Name the networks that need access, e.g. 203.0.113.0/24."
                )


def _is_everybody(source: str) -> bool:
    if source.lower() in EVERYBODY:
        return True
    try:
        network: IPv4Network | IPv6Network = ip_network(source, strict=False)
    except ValueError:  # another service tag, such as VirtualNetwork
        return False
    return network.prefixlen < WIDEST[network.version]


def public_address(args: ResourceValidationArgs) -> Iterator[str]:
    """A public IP on the network interface of any machine but the jump host."""
    role = (args.props.get("tags") or {}).get("role")
    for address in args.props.get("ipConfigurations") or []:
        if role != JUMP_HOST and "publicIPAddress" in address:
            yield (
                f"a public IP on a machine of role {role or '(none)'}: only the jump host may have "
                "one. Reach this machine through it."
            )


def protected_disk(args: ResourceValidationArgs) -> Iterator[str]:
    """A data disk that `pulumi destroy` or a replacement would take away without a word."""
    if not args.opts.protect:
        yield (
            "the data disk is not protected: a destroy or a replacement would delete it. "
            "Give it protect=True."
        )


def detached_disk(args: ResourceValidationArgs) -> Iterator[str]:
    """Data disks of a VM that would go away with it."""
    for disk in args.props["storageProfile"].get("dataDisks") or []:
        lun = disk["lun"]
        if disk["createOption"] != "Attach":
            yield (
                f"the data disk at LUN {lun} is made by the VM ({disk['createOption']}) and cannot "
                "be protected. Make it a Disk of its own and attach it."
            )
        if disk.get("deleteOption") != "Detach":
            yield (
                f"the data disk at LUN {lun} is deleted with its VM. "
                "Set its deleteOption to Detach."
            )


def tags(args: ResourceValidationArgs) -> Iterator[str]:
    """Azure resources without the tags by which bills and clean-ups tell stacks apart."""
    if not args.resource_type.startswith("azure-native:") or args.resource_type in UNTAGGED:
        return
    present = args.props.get("tags") or {}
    missing = [name for name in args.get_config()["required"] if not present.get(name)]
    if missing:
        yield f"has no tag {', '.join(missing)}. Add what is missing to its tags."


def vm_size(args: ResourceValidationArgs) -> Iterator[str]:
    """VMs of a size that nobody agreed to pay for."""
    size = args.props["hardwareProfile"]["vmSize"]
    allowed = args.get_config()["allowed"]
    if size.lower() not in {name.lower() for name in allowed}:
        yield f"VM size {size} is not allowed. Allowed: {', '.join(allowed)} (policy/config.json)."


def region(args: ResourceValidationArgs) -> Iterator[str]:
    """Azure resources outside the regions where the data may be."""
    location = args.props.get("location")
    if not args.resource_type.startswith("azure-native:") or not location:
        return
    allowed = args.get_config()["allowed"]
    if location.replace(" ", "").lower() not in {*allowed, "global"}:
        yield (
            f"region {location} is not allowed. Allowed: {', '.join(allowed)} (policy/config.json)."
        )


def encryption_at_host(args: ResourceValidationArgs) -> Iterator[str]:
    """VMs whose caches and temporary disks lie in clear on their host."""
    if not (args.props.get("securityProfile") or {}).get("encryptionAtHost"):
        yield (
            "encryption at host is off. Register the feature EncryptionAtHost in the subscription, "
            "then: pulumi config set encryptionAtHost true"
        )


def _policy(
    name: str,
    description: str,
    check: Check,
    types: tuple[str, ...] = (),
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
    listed: str = "",
) -> ResourceValidationPolicy:
    """`types`: the resource types it looks at, all if empty; `listed`: its configurable list."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not types or args.resource_type in types:
            for sentence in check(args):
                report(f"{args.name}: {sentence}", None)

    schema = {listed: {"type": "array", "items": {"type": "string"}}}
    return ResourceValidationPolicy(
        name=name,
        description=description,
        validate=validate,
        enforcement_level=level,
        config_schema=PolicyConfigSchema(schema, [listed]) if listed else None,
    )


def policies() -> list[Policy]:
    """Every rule of the pack."""
    return [
        _policy("no-world-open-rule", "No port is open to the world.", world_open, (NSG, RULE)),
        _policy(
            "no-public-database", "No machine but the jump host is public.", public_address, (NIC,)
        ),
        _policy("protected-data-disks", "Data disks are protected.", protected_disk, (DISK,)),
        _policy("detached-data-disks", "Data disks outlive their VM.", detached_disk, (VM,)),
        _policy("tags", "Resources carry the required tags.", tags, listed="required"),
        _policy("vm-sizes", "VM sizes are among those allowed.", vm_size, (VM,), listed="allowed"),
        _policy("regions", "Resources stay in the allowed regions.", region, listed="allowed"),
        _policy(
            "encryption-at-host",
            "Caches and temporary disks are encrypted.",
            encryption_at_host,
            (VM,),
            EnforcementLevel.ADVISORY,
        ),
    ]
