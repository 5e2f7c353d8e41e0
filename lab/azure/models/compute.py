"""Properties of disks and virtual machines."""

from typing import ClassVar, Literal

from lab.azure.models.base import Name, Resource, Strict, Text, Zone

StorageType = Literal[
    "Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"
]
Caching = Literal["None", "ReadOnly", "ReadWrite"]
DeleteOption = Literal["Delete", "Detach"]


class CreationData(Strict):
    sdk: ClassVar[str] = "compute.CreationDataArgs"

    createOption: Literal["Empty"]


class DiskSku(Strict):
    sdk: ClassVar[str] = "compute.DiskSkuArgs"

    name: StorageType


class Disk(Resource):
    sdk: ClassVar[str] = "compute.DiskArgs"

    diskName: Name
    creationData: CreationData
    diskSizeGB: int
    sku: DiskSku | None = None
    networkAccessPolicy: Literal["AllowAll", "AllowPrivate", "DenyAll"] | None = None
    publicNetworkAccess: Literal["Enabled", "Disabled"] | None = None
    zones: list[Zone] | None = None


class HardwareProfile(Strict):
    sdk: ClassVar[str] = "compute.HardwareProfileArgs"

    vmSize: Text


class NetworkInterfaceReference(Strict):
    sdk: ClassVar[str] = "compute.NetworkInterfaceReferenceArgs"

    id: Text
    primary: bool | None = None
    deleteOption: DeleteOption | None = None


class NetworkProfile(Strict):
    sdk: ClassVar[str] = "compute.NetworkProfileArgs"

    networkInterfaces: list[NetworkInterfaceReference]


class SshPublicKey(Strict):
    sdk: ClassVar[str] = "compute.SshPublicKeyArgs"

    path: Text
    keyData: Text


class SshConfiguration(Strict):
    sdk: ClassVar[str] = "compute.SshConfigurationArgs"

    publicKeys: list[SshPublicKey]


class LinuxPatchSettings(Strict):
    sdk: ClassVar[str] = "compute.LinuxPatchSettingsArgs"

    patchMode: Literal["ImageDefault", "AutomaticByPlatform"] | None = None
    assessmentMode: Literal["ImageDefault", "AutomaticByPlatform"] | None = None


class LinuxConfiguration(Strict):
    sdk: ClassVar[str] = "compute.LinuxConfigurationArgs"

    disablePasswordAuthentication: bool | None = None
    provisionVMAgent: bool | None = None
    patchSettings: LinuxPatchSettings | None = None
    ssh: SshConfiguration | None = None


class OSProfile(Strict):
    sdk: ClassVar[str] = "compute.OSProfileArgs"

    computerName: Text
    adminUsername: Text
    customData: str | None = None
    linuxConfiguration: LinuxConfiguration


class UefiSettings(Strict):
    sdk: ClassVar[str] = "compute.UefiSettingsArgs"

    secureBootEnabled: bool | None = None
    vTpmEnabled: bool | None = None


class SecurityProfile(Strict):
    sdk: ClassVar[str] = "compute.SecurityProfileArgs"

    encryptionAtHost: bool | None = None
    securityType: Literal["TrustedLaunch", "Standard"] | None = None
    uefiSettings: UefiSettings | None = None


class ImageReference(Strict):
    sdk: ClassVar[str] = "compute.ImageReferenceArgs"

    publisher: Text
    offer: Text
    sku: Text
    version: Text


class OSManagedDisk(Strict):
    sdk: ClassVar[str] = "compute.ManagedDiskParametersArgs"

    storageAccountType: StorageType | None = None


class OSDisk(Strict):
    sdk: ClassVar[str] = "compute.OSDiskArgs"

    name: Name | None = None
    createOption: Literal["FromImage"]
    osType: Literal["Linux"] | None = None
    caching: Caching | None = None
    deleteOption: DeleteOption | None = None
    diskSizeGB: int | None = None
    managedDisk: OSManagedDisk | None = None


class AttachedManagedDisk(Strict):
    sdk: ClassVar[str] = "compute.ManagedDiskParametersArgs"

    id: Text


class DataDisk(Strict):
    sdk: ClassVar[str] = "compute.DataDiskArgs"

    lun: int
    name: Name | None = None
    createOption: Literal["Attach"]
    caching: Caching | None = None
    deleteOption: DeleteOption | None = None
    managedDisk: AttachedManagedDisk


class StorageProfile(Strict):
    sdk: ClassVar[str] = "compute.StorageProfileArgs"

    imageReference: ImageReference
    osDisk: OSDisk
    dataDisks: list[DataDisk] | None = None


class BootDiagnostics(Strict):
    sdk: ClassVar[str] = "compute.BootDiagnosticsArgs"

    enabled: bool | None = None
    storageUri: str | None = None


class DiagnosticsProfile(Strict):
    sdk: ClassVar[str] = "compute.DiagnosticsProfileArgs"

    bootDiagnostics: BootDiagnostics | None = None


class VirtualMachine(Resource):
    sdk: ClassVar[str] = "compute.VirtualMachineArgs"

    vmName: Name
    hardwareProfile: HardwareProfile
    networkProfile: NetworkProfile
    osProfile: OSProfile
    securityProfile: SecurityProfile | None = None
    storageProfile: StorageProfile
    diagnosticsProfile: DiagnosticsProfile | None = None
    zones: list[Zone] | None = None
