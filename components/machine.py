"""One virtual machine with a data disk of its own, through the end of its first boot."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

import pulumi
from pulumi_azure_native import authorization, compute, network
from pulumi_command import remote

from cloud_init.first_boot import DATA_DISK_LUN, PREPARE, FirstBoot, render
from components import disk_size, vm_change, zone
from components.identities import Identities, Identity
from components.network import Network
from components.remote import Endpoint, Way, fact, run_program, way
from host.desired import machine
from host.desired.names import OPERATOR
from settings.images import Image
from settings.model import Settings
from settings.vm_sizes import VmSize


@dataclass(frozen=True)
class MachineArgs:
    """`host_name` is also the VM's name. `data_disk_gib` in GiB. `jump`: the machine to go
    through, for one without a public IP; `public_ip`: the address of one that has it.
    `next_operator` may come in beside `operator`. `size_setting` and `data_disk_setting` are the
    settings that `size` and `data_disk_gib` come from, for messages. `zones` has the availability
    zone; without it Azure chooses."""

    resource_group_name: pulumi.Input[str]
    location: str
    zones: Sequence[str] | None
    host_name: str
    size: VmSize
    size_setting: str
    image: Image
    encryption_at_host: bool
    subnet_id: pulumi.Input[str]
    private_address: IPv4Address
    public_ip: network.PublicIPAddress | None
    data_disk_gib: int
    data_disk_setting: str
    disk_sku: str
    disk_lock: bool
    packages: tuple[str, ...]
    host_identity: Identity
    operator: Identity
    next_operator: Identity | None
    jump: Endpoint | None
    tags: Mapping[str, str]


def alike(settings: Settings, identities: Identities, network: Network) -> partial[MachineArgs]:
    """MachineArgs with what both machines have alike; the rest is each one's own."""
    return partial(
        MachineArgs,
        resource_group_name=network.resource_group_name,
        location=settings.location,
        zones=settings.zones,
        image=settings.image,
        encryption_at_host=settings.encryptionAtHost,
        disk_sku=settings.diskSku,
        disk_lock=settings.diskLocks,
        operator=identities.operator,
        next_operator=identities.next_operator,
    )


class Machine(pulumi.ComponentResource):
    """NIC with a static address, protected data disk, VM; its disk can be used when `ready` is.
    The first boot ended at the moment `first_booted` (certificates.MOMENT)."""

    args: MachineArgs
    vm_id: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    endpoint: Endpoint
    way: Way
    first_booted: pulumi.Output[str]
    operators: remote.Command
    ready: remote.Command

    def __init__(
        self, name: str, args: MachineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:Machine", name, None, opts)
        self._name = name
        self.args = args
        self._stays_in_zone = zone.hook(f"{name}-zone")
        nic = self._nic()
        disk = self._data_disk()
        if args.disk_lock:
            self._lock(disk)
        vm = self._vm(nic, disk)
        self.vm_id = vm.vm_id
        self.resource_id = vm.id
        self.endpoint = Endpoint(
            address=args.public_ip.ip_address.apply(_allocated)
            if args.public_ip
            else str(args.private_address),
            host_key=args.host_identity.public,
        )
        self.way = way(args.host_name, self.endpoint, args.operator, args.jump)
        first_boot = run_program(
            f"{name}-first-boot",
            program="first_boot",
            desired=machine.FirstBoot(args.packages, PREPARE),
            over=self.way,
            machines=[self.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[vm]),
            first_boot=True,
        )
        self.first_booted = fact(first_boot, "ended")
        self.operators = run_program(
            f"{name}-operators",
            program="operators",
            desired=pulumi.Output.all(*self._operator_keys()).apply(machine.operators),
            over=self.way,
            machines=[self.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[first_boot]),
        )
        self.ready = run_program(
            f"{name}-file-system",
            program="data_disk",
            desired=machine.data_disk(args.data_disk_gib),
            over=self.way,
            machines=[self.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[first_boot]),
        )
        self.register_outputs({"vmId": self.vm_id})

    def _operator_keys(self) -> list[pulumi.Output[str]]:
        operators = (self.args.operator, self.args.next_operator)
        return [operator.public for operator in operators if operator]

    def _nic(self) -> network.NetworkInterface:
        args = self.args
        public_ip = args.public_ip
        return network.NetworkInterface(
            f"{self._name}-nic",
            network_interface_name=f"{args.host_name}-nic",
            resource_group_name=args.resource_group_name,
            location=args.location,
            ip_configurations=[
                network.NetworkInterfaceIPConfigurationArgs(
                    name="primary",
                    primary=True,
                    subnet=network.SubnetArgs(id=args.subnet_id),
                    private_ip_allocation_method=network.IPAllocationMethod.STATIC,
                    private_ip_address=str(args.private_address),
                    public_ip_address=network.PublicIPAddressArgs(id=public_ip.id)
                    if public_ip
                    else None,
                )
            ],
            # Every size of settings/vm_sizes.py has it. A commit that waits for Barman waits for
            # this network.
            enable_accelerated_networking=True,
            tags=args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Azure switches it only while the VM is deallocated: an existing one keeps what it
                # has until somebody does (docs/known-limits.md).
                ignore_changes=["enableAcceleratedNetworking"],
            ),
        )

    def _data_disk(self) -> compute.Disk:
        args = self.args
        return compute.Disk(
            f"{self._name}-data",
            disk_name=f"{args.host_name}-data",
            resource_group_name=args.resource_group_name,
            location=args.location,
            creation_data=compute.CreationDataArgs(create_option=compute.DiskCreateOption.EMPTY),
            disk_size_gb=args.data_disk_gib,
            sku=compute.DiskSkuArgs(name=args.disk_sku),
            network_access_policy=compute.NetworkAccessPolicy.DENY_ALL,
            public_network_access=compute.PublicNetworkAccess.DISABLED,
            # Zone-redundant storage is in all of them.
            zones=None if args.disk_sku.endswith("_ZRS") else args.zones,
            tags=args.tags,
            # The only copy of the company's data, or of its backups.
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                hooks=pulumi.ResourceHookBinding(
                    before_update=[
                        disk_size.hook(
                            f"{self._name}-size", args.host_name, args.data_disk_setting
                        ),
                        self._stays_in_zone,
                    ]
                ),
            ),
        )

    def _lock(self, disk: compute.Disk) -> None:
        authorization.ManagementLockByScope(
            f"{self._name}-data-lock",
            scope=disk.id,
            lock_name=f"{self.args.host_name}-data",
            level=authorization.LockLevel.CAN_NOT_DELETE,
            notes="The only copy of a database, or of its backups (docs/runbooks/tearing-down.md).",
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _vm(self, nic: network.NetworkInterface, disk: compute.Disk) -> compute.VirtualMachine:
        args = self.args
        custom_data = pulumi.Output.all(
            args.host_identity.private, args.host_identity.public
        ).apply(
            lambda pair: base64.b64encode(
                render(FirstBoot(pair[0], pair[1], args.packages)).encode()
            ).decode()
        )
        return compute.VirtualMachine(
            f"{self._name}-vm",
            vm_name=args.host_name,
            resource_group_name=args.resource_group_name,
            location=args.location,
            hardware_profile=compute.HardwareProfileArgs(vm_size=args.size.name),
            network_profile=compute.NetworkProfileArgs(
                network_interfaces=[compute.NetworkInterfaceReferenceArgs(id=nic.id, primary=True)]
            ),
            os_profile=compute.OSProfileArgs(
                computer_name=args.host_name,
                admin_username=OPERATOR,
                custom_data=pulumi.Output.secret(custom_data),
                linux_configuration=compute.LinuxConfigurationArgs(
                    disable_password_authentication=True,
                    ssh=compute.SshConfigurationArgs(
                        public_keys=[
                            compute.SshPublicKeyArgs(
                                path=machine.AUTHORIZED_KEYS,
                                key_data=args.operator.public,
                            )
                        ]
                    ),
                ),
            ),
            security_profile=compute.SecurityProfileArgs(encryption_at_host=True)
            if args.encryption_at_host
            else None,
            storage_profile=compute.StorageProfileArgs(
                image_reference=compute.ImageReferenceArgs(
                    publisher=args.image.publisher,
                    offer=args.image.offer,
                    sku=args.image.sku,
                    version="latest",
                ),
                os_disk=compute.OSDiskArgs(
                    name=f"{args.host_name}-os",
                    create_option=compute.DiskCreateOptionTypes.FROM_IMAGE,
                    caching=compute.CachingTypes.READ_WRITE,
                    delete_option=compute.DiskDeleteOptionTypes.DELETE,
                    managed_disk=compute.ManagedDiskParametersArgs(
                        storage_account_type=args.disk_sku
                    ),
                ),
                data_disks=[
                    compute.DataDiskArgs(
                        lun=DATA_DISK_LUN,
                        create_option=compute.DiskCreateOptionTypes.ATTACH,
                        # WAL shares the disk: a host cache would only delay its flushes.
                        caching=compute.CachingTypes.NONE,
                        delete_option=compute.DiskDeleteOptionTypes.DETACH,
                        managed_disk=compute.ManagedDiskParametersArgs(id=disk.id),
                    )
                ],
            ),
            diagnostics_profile=compute.DiagnosticsProfileArgs(
                boot_diagnostics=compute.BootDiagnosticsArgs(enabled=True)
            ),
            zones=args.zones,
            tags=args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Azure refuses new customData or keys on an existing VM; what may change after
                # the first boot is configured over SSH instead. A VM that is replaced gets the
                # current ones: the engine ignores changes of what goes on existing, and checks a
                # replacement's inputs without (pulumi/pkg, resource/deploy/step_generator.go).
                ignore_changes=["osProfile"],
                hooks=pulumi.ResourceHookBinding(
                    before_update=[
                        vm_change.hook(f"{self._name}-change", args.size_setting),
                        self._stays_in_zone,
                    ]
                ),
            ),
        )


def _allocated(address: str | None) -> str:
    if not address:
        raise ValueError("Azure has not allocated the public IP address yet; run pulumi up again")
    return address
