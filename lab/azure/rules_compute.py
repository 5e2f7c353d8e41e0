"""What Azure refuses about disks and virtual machines without looking at anything else."""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from lab.azure import catalogue
from lab.azure.validate import items, known
from lab.rpc.provider import Failure

Properties = dict[str, Any]

# 64 KiB, in base64.
_CUSTOM_DATA_LIMIT = 87380
_RESERVED_USERS = re.compile(
    r"1|123|a|actuser|adm|admin[12]?|administrator|aspnet|backup|console|david|guest|john|owner"
    r"|root|server|sql|support|support_388945a0|sys|test[123]?|user[1-5]?"
)


def resource_group(_: Properties) -> Iterator[Failure]:
    yield from ()


def disk(p: Properties) -> Iterator[Failure]:
    size = known(p, "diskSizeGB")
    if size is not None and not 1 <= size <= 32767:
        yield Failure(
            "diskSizeGB",
            f"InvalidParameter: The value '{size}' of parameter 'disk.diskSizeGB' is out of "
            "range. The value must be between '1' and '32767', inclusive.",
        )

    sku = known(p, "sku", "name")
    if sku is not None and sku.endswith("_ZRS") and known(p, "zones"):
        yield Failure(
            "zones",
            f"InvalidParameter: zones cannot be given for a disk of type {sku}.",
        )
    if len(items(p, "zones")) > 1:
        yield Failure("zones", "InvalidParameter: a disk is in one zone.")


def virtual_machine(p: Properties) -> Iterator[Failure]:
    size = known(p, "hardwareProfile", "vmSize")
    limit = catalogue.data_disk_limit(size) if size is not None else None
    if size is not None and limit is None:
        yield Failure(
            "hardwareProfile.vmSize",
            f"InvalidParameter: The value {size} provided for the VM size is not valid.",
        )
    if len(items(p, "zones")) > 1:
        yield Failure("zones", "InvalidParameter: a virtual machine is in one zone.")
    yield from _image(p)
    yield from _data_disks(p, limit)
    yield from _os_profile(p)
    yield from _interfaces(p)
    if known(p, "securityProfile", "encryptionAtHost"):
        yield Failure(
            "securityProfile.encryptionAtHost",
            "InvalidParameter: The property 'securityProfile.encryptionAtHost' is not valid "
            "because the 'Microsoft.Compute/EncryptionAtHost' feature is not enabled for this "
            "subscription.",
        )
    if (
        known(p, "securityProfile", "uefiSettings") is not None
        and known(p, "securityProfile", "securityType") != "TrustedLaunch"
    ):
        yield Failure(
            "securityProfile.uefiSettings",
            "BadRequest: uefiSettings need the securityType TrustedLaunch.",
        )


def _image(p: Properties) -> Iterator[Failure]:
    image = [
        known(p, "storageProfile", "imageReference", key)
        for key in ("publisher", "offer", "sku", "version")
    ]
    if None in image:
        return
    publisher, offer, sku, version = image
    exists = catalogue.release(publisher, offer, sku)
    if exists is None or not (version == "latest" or re.fullmatch(r"\d+\.\d+\.\d+", version)):
        yield Failure(
            "storageProfile.imageReference",
            f"PlatformImageNotFound: The platform image '{':'.join(image)}' is not available. "
            "Verify that all fields in the storage profile are correct.",
        )


def _data_disks(p: Properties, limit: int | None) -> Iterator[Failure]:
    path = "storageProfile.dataDisks"
    disks = items(p, "storageProfile", "dataDisks")
    if limit is not None and len(disks) > limit:
        yield Failure(
            path,
            "OperationNotAllowed: The maximum number of data disks allowed to be attached to a "
            f"VM of this size is {limit}.",
        )
    for one, other in combinations(disks, 2):
        lun = known(one, "lun")
        if lun is not None and lun == known(other, "lun"):
            yield Failure(path, f"InvalidParameter: two data disks use the same LUN: {lun}.")
        identity = known(one, "managedDisk", "id")
        if identity is not None and identity == known(other, "managedDisk", "id"):
            yield Failure(path, f"InvalidParameter: disk {identity} is attached twice.")
    for index, each in enumerate(disks):
        lun = known(each, "lun")
        if lun is not None and not 0 <= lun <= 63:
            yield Failure(f"{path}[{index}].lun", "InvalidParameter: a LUN is from 0 to 63.")


def _os_profile(p: Properties) -> Iterator[Failure]:
    profile = known(p, "osProfile")
    computer = known(profile, "computerName")
    if computer is not None and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})?", computer):
        yield Failure(
            "osProfile.computerName",
            "InvalidParameter: Linux host name cannot exceed 64 characters in length or contain "
            "the following characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > "
            "/ ?.",
        )
    user = known(profile, "adminUsername")
    if user is not None and (
        _RESERVED_USERS.fullmatch(user) or not re.fullmatch(r"[a-z_][\w-]{0,31}", user)
    ):
        yield Failure(
            "osProfile.adminUsername",
            "InvalidParameter: The Admin Username specified is not allowed.",
        )
    yield from _custom_data(known(profile, "customData"))
    yield from _ssh(profile, user)


def _custom_data(text: str | None) -> Iterator[Failure]:
    if text is None:
        return
    try:
        base64.b64decode(text, validate=True)
        fits = len(text) <= _CUSTOM_DATA_LIMIT
    except (binascii.Error, ValueError):
        fits = False
    if not fits:
        yield Failure(
            "osProfile.customData",
            "InvalidParameter: Custom data in OSProfile must be in Base64 encoding and with a "
            f"maximum length of {_CUSTOM_DATA_LIMIT} characters.",
        )


def _ssh(profile: Any, user: str | None) -> Iterator[Failure]:
    path = "osProfile.linuxConfiguration"
    linux = known(profile, "linuxConfiguration")
    keys = items(linux, "ssh", "publicKeys")
    if known(linux, "disablePasswordAuthentication") is not True:
        yield Failure(
            f"{path}.disablePasswordAuthentication",
            "InvalidParameter: without an adminPassword, which the lab does not take, password "
            "authentication must be disabled.",
        )
    if not keys and known(linux, "ssh", "publicKeys") is not None:
        yield Failure(
            f"{path}.ssh.publicKeys",
            "InvalidParameter: Authentication using either SSH or by user name and password must "
            "be enabled in Linux profile.",
        )
    for index, key in enumerate(keys):
        where = known(key, "path")
        if user is not None and where is not None and where != f"/home/{user}/.ssh/authorized_keys":
            yield Failure(
                f"{path}.ssh.publicKeys[{index}].path",
                "InvalidParameter: Destination path for SSH public keys is currently limited to "
                f"its default value /home/{user}/.ssh/authorized_keys due to a known issue in "
                "Linux provisioning agent.",
            )
        data = known(key, "keyData")
        if data is not None and not re.match(r"ssh-(rsa|ed25519) [A-Za-z0-9+/]+=*( |$)", data):
            yield Failure(
                f"{path}.ssh.publicKeys[{index}].keyData",
                "InvalidParameter: The value of parameter linuxConfiguration.ssh.publicKeys."
                "keyData is invalid.",
            )


def _interfaces(p: Properties) -> Iterator[Failure]:
    path = "networkProfile.networkInterfaces"
    interfaces = known(p, "networkProfile", "networkInterfaces")
    if interfaces == []:
        yield Failure(path, "InvalidParameter: Required parameter 'networkInterfaces' is missing.")
    several = [i for i in interfaces or [] if isinstance(i, dict)]
    if len(several) > 1 and sum(i.get("primary") is True for i in several) != 1:
        yield Failure(
            path,
            "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary: exactly one of several network "
            "interfaces must be primary.",
        )
