"""The resources of the dev stack: what Azure would be asked for."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml
from cryptography import x509

from components import certificates
from tests.unit.stack_double import Registered, run

DISK = "azure-native:compute:Disk"
VM = "azure-native:compute:VirtualMachine"
NSG = "azure-native:network:NetworkSecurityGroup"
NIC = "azure-native:network:NetworkInterface"
PUBLIC_IP = "azure-native:network:PublicIPAddress"
SUBNET = "azure-native:network:Subnet"
COMMAND = "command:remote:Command"


@cache
def dev() -> tuple[list[Registered], dict[str, Any]]:
    return run("dev")


def resources(kind: str) -> dict[str, Registered]:
    return {item.name: item for item in dev()[0] if item.type == kind}


def rules(nsg: str) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in resources(NSG)[nsg].inputs["securityRules"]}


def test_the_card_s_sizes_and_disks() -> None:
    vms, disks = resources(VM), resources(DISK)
    sizes = {name: vm.inputs["hardwareProfile"]["vmSize"] for name, vm in vms.items()}
    assert sizes == {
        "postgres-machine-vm": "Standard_DS3_v2",
        "barman-machine-vm": "Standard_D2s_v3",
    }
    assert {name: disk.inputs["diskSizeGB"] for name, disk in disks.items()} == {
        "postgres-machine-data": 1100,
        "barman-machine-data": 250,
    }


def test_data_disks_and_the_guard_of_everything_are_protected() -> None:
    protected = {item.name for item in dev()[0] if item.protect}
    assert protected == {*resources(DISK), "use-python-m-ops-teardown"}


def test_whatever_is_deleted_the_guard_would_have_to_go_first() -> None:
    """The engine keeps all that a protected resource stands on."""
    registered, _ = run("dev", diskLocks=True)
    everything = {item.name: item for item in registered}
    standing = {"use-python-m-ops-teardown"}
    while (
        added := {
            below
            for name in standing
            for below in (*everything[name].depends_on, everything[name].parent)
            if below in everything
        }
        - standing
    ):
        standing |= added
    deletable = {
        item.name
        for item in registered
        if item.name not in standing
        and item.type.startswith(("azure-native:", "random:", "command:", "tls:"))
    }
    assert deletable == set()


def test_what_azure_may_refuse_of_a_change_is_judged_first() -> None:
    judged = {item.name: item.before_update for item in dev()[0] if item.before_update}
    assert judged == {
        "postgres-machine-data": ("postgres-machine-size", "postgres-machine-zone"),
        "barman-machine-data": ("barman-machine-size", "barman-machine-zone"),
        "postgres-machine-vm": ("postgres-machine-change", "postgres-machine-zone"),
        "barman-machine-vm": ("barman-machine-change", "barman-machine-zone"),
        "network-nat": ("network-zone",),
        "network-nat-ip": ("network-zone",),
        "network-jump-ip": ("network-zone",),
        "network-vnet": ("network-addresses",),
    }


def test_whatever_has_an_address_waits_for_the_network_to_be_judged() -> None:
    """Else a refused `up --skip-preview` would have changed the rules beside it."""
    everything = {item.name: item for item in dev()[0]}
    for item in (*resources(NSG).values(), *resources(SUBNET).values()):
        assert "network-vnet" in everything[item.name].depends_on


def test_data_disks_are_attached_uncached_and_survive_their_vm() -> None:
    for vm in resources(VM).values():
        (disk,) = vm.inputs["storageProfile"]["dataDisks"]
        assert disk["lun"] == 0
        assert disk["caching"] == "None"
        assert disk["createOption"] == "Attach"
        assert disk["deleteOption"] == "Detach"


def test_a_changed_first_boot_never_touches_an_existing_vm() -> None:
    assert all(vm.ignore_changes == ("osProfile",) for vm in resources(VM).values())


def test_new_machines_have_accelerated_networking_and_existing_ones_keep_what_they_have() -> None:
    for nic in resources(NIC).values():
        assert nic.inputs["enableAcceleratedNetworking"] is True
        assert nic.ignore_changes == ("enableAcceleratedNetworking",)


def in_zones(registered: list[Registered]) -> dict[str, list[str]]:
    return {item.name: item.inputs["zones"] for item in registered if "zones" in item.inputs}


def test_whatever_can_be_in_a_zone_is_in_the_one_that_is_asked_for() -> None:
    assert in_zones(dev()[0]) == {}
    zonal = {*resources(VM), *resources(DISK), *resources(PUBLIC_IP), "network-nat"}
    assert in_zones(run("dev", zone="2")[0]) == {name: ["2"] for name in zonal}


def test_zone_redundant_disks_are_in_no_zone() -> None:
    found = in_zones(run("dev", zone="2", diskSku="Premium_ZRS")[0])
    assert set(resources(VM)) <= set(found)
    assert set(resources(DISK)).isdisjoint(found)


def test_nobody_logs_in_with_a_password() -> None:
    for vm in resources(VM).values():
        linux = vm.inputs["osProfile"]["linuxConfiguration"]
        assert linux["disablePasswordAuthentication"] is True
        assert "adminPassword" not in vm.inputs["osProfile"]


def test_children_belong_to_their_components() -> None:
    parents = {item.name: item.parent for item in dev()[0]}
    assert parents["postgres-machine"] == "postgres"
    assert parents["barman-machine"] == "barman"
    for role in ("postgres", "barman"):
        for child in ("nic", "data", "vm", "first-boot"):
            assert parents[f"{role}-machine-{child}"] == f"{role}-machine"
        assert parents[f"{role}-configure"] == role
        assert parents[f"network-{role}-subnet"] == "network"
    assert parents["backup-join"] == "backup"


def test_who_may_reach_postgres() -> None:
    allowed = {
        name: (rule.get("sourceAddressPrefix"), rule["destinationPortRange"])
        for name, rule in rules("network-postgres-nsg").items()
        if rule["direction"] == "Inbound" and rule["access"] == "Allow"
    }
    assert allowed == {
        "AllowClients": ("10.30.0.0/16", "5432"),
        "AllowBarman": ("10.20.1.4/32", "5432"),
        "AllowBarmanSsh": ("10.20.1.4/32", "22"),
        "AllowNodeMetrics": ("10.20.1.4/32", "9100"),
        "AllowDbMetrics": ("10.20.1.4/32", "9187"),
    }


def test_who_may_reach_barman() -> None:
    allowed = {
        name: (rule.get("sourceAddressPrefix"), rule["destinationPortRange"])
        for name, rule in rules("network-barman-nsg").items()
        if rule["direction"] == "Inbound" and rule["access"] == "Allow"
    }
    assert allowed == {
        "AllowAdminSsh": ("203.0.113.0/24", "22"),
        "AllowPostgresSsh": ("10.20.0.4/32", "22"),
    }


def test_a_pooler_is_reached_by_clients_and_its_figures_by_prometheus() -> None:
    registered, outputs = run("dev", pooler=True)
    before = rules("network-postgres-nsg")
    (nsg,) = [item for item in registered if item.name == "network-postgres-nsg"]
    new = {
        rule["name"]: (rule["sourceAddressPrefix"], rule["destinationPortRange"])
        for rule in nsg.inputs["securityRules"]
        if rule["name"] not in before
    }
    assert new == {
        "AllowPooler": ("10.30.0.0/16", "6432"),
        "AllowPoolerMetrics": ("10.20.1.4/32", "9127"),
    }
    order = [(rule["direction"], rule["priority"]) for rule in nsg.inputs["securityRules"]]
    assert len(set(order)) == len(order)
    after = outbound(registered, "network-barman-nsg")
    known = outbound(dev()[0], "network-barman-nsg")
    assert {name: way for name, way in after.items() if name not in known} == {
        "ToPoolerMetrics": ("10.20.1.4/32", "10.20.0.4/32", "Tcp", "9127")
    }
    assert outputs["pooler"] == {"port": 6432}
    uri = outputs["databases"]["app"]["uri"]
    assert outputs["databases"]["app"]["poolerUri"] == uri.replace(":5432/", ":6432/")
    configured = desired(registered, "postgres-configure")["pooler"]
    pem = {file["path"]: file["content"] for file in configured["files"]}[configured["server_file"]]
    assert (
        pem
        == {
            file["path"]: file["content"]
            for file in desired(registered, "postgres-configure")["files"]
        }["/etc/postgresql/17/main/server.pem"]
    )
    # By name, no password: it is looked up in PostgreSQL.
    assert "secret-of" not in json.dumps(configured)


def test_without_a_pooler_nothing_of_it_is_asked_for() -> None:
    registered, outputs = dev()
    assert "pooler" not in outputs
    assert "poolerUri" not in outputs["databases"]["app"]
    assert desired(registered, "postgres-configure")["pooler"] is None
    for nsg in resources(NSG).values():
        assert not [rule for rule in nsg.inputs["securityRules"] if "Pooler" in rule["name"]]


def outbound(registered: list[Registered], nsg: str) -> dict[str, tuple[str, str, str, str]]:
    (found,) = [item for item in registered if item.name == nsg]
    return {
        rule["name"]: (
            rule["sourceAddressPrefix"],
            rule["destinationAddressPrefix"],
            rule["protocol"],
            rule["destinationPortRange"],
        )
        for rule in found.inputs["securityRules"]
        if rule["direction"] == "Outbound" and rule["access"] == "Allow"
    }


def test_azures_host_is_reached_before_the_virtual_network_it_counts_to_is_denied() -> None:
    for nsg, own in (("network-postgres-nsg", "10.20.0.4"), ("network-barman-nsg", "10.20.1.4")):
        way = (f"{own}/32", "168.63.129.16/32", "*", "*")
        assert outbound(dev()[0], nsg)["ToAzurePlatform"] == way
        assert rules(nsg)["ToAzurePlatform"]["priority"] < rules(nsg)["DenyVnetElse"]["priority"]


def test_who_takes_alerts_at_a_private_address_is_reached_there_and_nowhere_else() -> None:
    registered, _ = run(
        "dev",
        encrypted=("alertWebhook", "deadManUrl"),
        **ALERTING | {"smtpHost": "10.40.0.25", "smtpPort": 25},
        alertWebhook="https://10.40.0.26/hook?key=k",
        deadManUrl="http://10.40.0.27:8080/ping",
    )
    before, after = (outbound(each, "network-barman-nsg") for each in (dev()[0], registered))
    assert {name: way for name, way in after.items() if name not in before} == {
        "ToMailRelay": ("10.20.1.4/32", "10.40.0.25/32", "Tcp", "25"),
        "ToAlertWebhook": ("10.20.1.4/32", "10.40.0.26/32", "Tcp", "443"),
        "ToDeadMan": ("10.20.1.4/32", "10.40.0.27/32", "Tcp", "8080"),
    }
    nsg = "network-postgres-nsg"
    assert outbound(registered, nsg) == outbound(dev()[0], nsg)


@pytest.mark.parametrize("nsg", ["network-postgres-nsg", "network-barman-nsg"])
def test_rule_names_and_priorities_are_unique_as_azure_wants(nsg: str) -> None:
    security_rules = resources(NSG)[nsg].inputs["securityRules"]
    names = [rule["name"] for rule in security_rules]
    order = [(rule["direction"], rule["priority"]) for rule in security_rules]
    assert len(set(names)) == len(names)
    assert len(set(order)) == len(order)


@pytest.mark.parametrize("nsg", ["network-postgres-nsg", "network-barman-nsg"])
def test_everything_else_is_denied_before_azures_own_rules_let_it_in(nsg: str) -> None:
    deny = rules(nsg)["DenyAllElse"]
    assert deny["access"] == "Deny"
    assert deny["sourceAddressPrefix"] == deny["destinationPortRange"] == "*"
    assert deny["priority"] < 65000
    assert all(rule["priority"] <= deny["priority"] for rule in rules(nsg).values())


def test_only_the_barman_machine_has_a_public_address() -> None:
    public = {
        name: nic.inputs["ipConfigurations"][0].get("publicIPAddress")
        for name, nic in resources(NIC).items()
    }
    assert public == {
        "postgres-machine-nic": None,
        "barman-machine-nic": {"id": "/id/network-jump-ip"},
    }
    assert set(resources(PUBLIC_IP)) == {"network-nat-ip", "network-jump-ip"}


def test_private_ssh_has_no_jump_host_and_lets_admins_in_directly() -> None:
    registered, _ = run("dev", sshAccess="private", adminCidrs=["10.40.0.0/24"])
    by_name = {item.name: item for item in registered}
    assert "network-jump-ip" not in by_name
    for nsg in ("network-postgres-nsg", "network-barman-nsg"):
        names = {rule["name"]: rule for rule in by_name[nsg].inputs["securityRules"]}
        assert names["AllowAdminSsh"]["sourceAddressPrefix"] == "10.40.0.0/24"
    connection = by_name["postgres-configure"].inputs["connection"]
    assert connection.get("proxy") is None
    assert connection["host"] == "10.20.0.4"


def test_subnets_have_rules_nat_and_no_default_way_out() -> None:
    for name, subnet in resources(SUBNET).items():
        role = name.removeprefix("network-").removesuffix("-subnet")
        assert subnet.inputs["networkSecurityGroup"]["id"] == f"/id/network-{role}-nsg"
        assert subnet.inputs["natGateway"]["id"] == "/id/network-nat"
        assert subnet.inputs["defaultOutboundAccess"] is False


def test_everything_that_can_bear_tags_has_them() -> None:
    untagged = {SUBNET}
    azure = [item for item in dev()[0] if item.type.startswith("azure-native:")]
    assert azure
    for item in azure:
        if item.type not in untagged:
            assert item.inputs["tags"]["stack"] == "dev", item.name


def test_encryption_at_host_only_when_asked() -> None:
    assert all("securityProfile" not in vm.inputs for vm in resources(VM).values())
    registered, _ = run("dev", encryptionAtHost=True)
    vms = [item for item in registered if item.type == VM]
    assert [vm.inputs["securityProfile"]["encryptionAtHost"] for vm in vms] == [True, True]


def test_both_data_disks_are_locked_when_asked() -> None:
    kind = "azure-native:authorization:ManagementLockByScope"
    assert not resources(kind)
    registered, _ = run("dev", diskLocks=True)
    locks = [item for item in registered if item.type == kind]
    disks = [item.name for item in registered if item.type == DISK]
    assert sorted(lock.inputs["scope"] for lock in locks) == sorted(f"/id/{n}" for n in disks)
    assert {lock.inputs["level"] for lock in locks} == {"CanNotDelete"}


def test_every_connection_pins_its_host_key_and_postgres_is_reached_through_barman() -> None:
    _, outputs = dev()
    for name, command in resources(COMMAND).items():
        connection = command.inputs["connection"]
        on_postgres = name.startswith("postgres") or name == "monitoring-postgres"
        assert connection["hostKey"] == outputs["postgres" if on_postgres else "barman"]["hostKey"]
        if on_postgres:
            assert connection["proxy"]["host"] == "198.51.100.7"
            assert connection["proxy"]["hostKey"] == outputs["barman"]["hostKey"]


def test_how_long_a_machine_is_waited_for_is_decided_in_one_place() -> None:
    for name, command in resources(COMMAND).items():
        assert command.on_error == (f"{name}-reached",)
        connection = command.inputs["connection"]
        for host in (connection, connection.get("proxy") or connection):
            assert host["dialErrorLimit"] == 0


def test_secrets_travel_on_standard_input_alone() -> None:
    configure = resources(COMMAND)["postgres-configure"]
    assert "secret-of-identities-password-app" in configure.inputs["stdin"]
    for command in resources(COMMAND).values():
        assert "stdin" in command.secret
        assert "connection" in command.secret
        for name in ("create", "update"):
            assert "secret-of" not in command.inputs[name]
            assert "PRIVATE KEY" not in command.inputs[name]
        assert "environment" not in command.inputs


def test_first_boot_is_a_cloud_config_with_the_pinned_host_key() -> None:
    _, outputs = dev()
    for role in ("postgres", "barman"):
        vm = resources(VM)[f"{role}-machine-vm"]
        # A secret inside an input of an azure-native resource makes the whole input one.
        assert "osProfile" in vm.secret
        profile = vm.inputs["osProfile"]
        document = yaml.safe_load(base64.b64decode(profile["customData"]))
        assert document["ssh_keys"]["ed25519_public"] == outputs[role]["hostKey"]
        assert len(profile["customData"]) < 64 * 1024


def test_a_retiring_vm_size_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    run("dev")
    output = caplog.text
    assert "retires Standard_DS3_v2 on 2028-05-01; plan to move to Standard_D4ds_v5" in output
    assert "retires Standard_D2s_v3 on 2029-11-15; plan to move to Standard_D2ds_v5" in output
    assert "a new subscription cannot deploy v2 and v3 sizes" in output


@pytest.mark.parametrize("level", ["async", "sync", "sync-with-fallback"])
def test_durability_reaches_the_guard_the_joint_and_the_outputs(level: str) -> None:
    registered, outputs = run("dev", durability=level, fallbackAfterSeconds=77)
    stdin = {item.name: item.inputs["stdin"] for item in registered if item.type == COMMAND}
    desired = json.loads(stdin["postgres-configure"])["arguments"][0]
    files = {item["path"]: item["content"] for item in desired["guard"]["files"]}
    guard = json.loads(files["/etc/durability-guard.json"])
    assert (guard["level"], guard["fallback_after_s"]) == (level, 77)
    assert "/usr/local/lib/durability_guard/decision.py" in files
    assert json.loads(stdin["backup-join"])["arguments"][0]["durability"] == level
    assert outputs["backup"]["durability"] == level
    assert outputs["backup"]["fallbackAfterSeconds"] == 77


def test_the_authority_s_key_reaches_no_machine_and_its_certificate_the_clients() -> None:
    _, outputs = dev()
    authority = x509.load_pem_x509_certificate(outputs["caCertificate"].encode())
    stdin = {name: command.inputs["stdin"] for name, command in resources(COMMAND).items()}
    files = {
        name: {item["path"]: item["content"] for item in json.loads(text)["arguments"][0]["files"]}
        for name, text in stdin.items()
        if name.endswith("-configure")
    }
    assert files["barman-configure"]["/etc/ssl/postgresql-ca.pem"] == outputs["caCertificate"]
    pem = files["postgres-configure"]["/etc/postgresql/17/main/server.pem"]
    shown = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
    shown.verify_directly_issued_by(authority)
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("10.20.0.4")]
    assert names.get_values_for_type(x509.DNSName) == ["postgres-dev"]
    seed = "secret-of-identities-authority"
    key = certificates._key(hashlib.sha256(seed.encode()).digest())
    private = key.private_numbers().private_value.to_bytes(32)
    assert key.public_key() == authority.public_key()
    for text in stdin.values():
        assert seed not in text
        for block in re.findall(r"-----BEGIN PRIVATE KEY-----(.*?)-----END", text):
            assert private not in base64.b64decode(block.replace("\\n", ""))


ALERTING = {
    "alertEmail": "dba@example.org",
    "smtpHost": "mail.example.org",
    "smtpFrom": "alerts@example.org",
}


def test_azure_tells_the_same_address_when_a_machine_does_not_run() -> None:
    registered, _ = run("dev", **ALERTING)
    by_name = {item.name: item for item in registered}
    (receiver,) = by_name["alerts-operators"].inputs["emailReceivers"]
    assert receiver["emailAddress"] == "dba@example.org"
    machines = ["/id/postgres-machine-vm", "/id/barman-machine-vm"]
    for role, machine in zip(("postgres", "barman"), machines, strict=True):
        alert = by_name[f"alerts-{role}-available"].inputs
        assert alert["scopes"] == [machine]
        assert alert["criteria"]["allOf"][0]["metricName"] == "VmAvailabilityMetric"
        assert alert["actions"] == [{"actionGroupId": "/id/alerts-operators"}]
    # A machine that is stopped from outside has no metric at all.
    health = by_name["alerts-health"].inputs
    assert health["scopes"] == machines
    assert health["actions"] == {"actionGroups": [{"actionGroupId": "/id/alerts-operators"}]}


def test_without_an_address_azure_is_asked_to_tell_nobody() -> None:
    assert not [item for item in dev()[0] if item.type.startswith("azure-native:monitor:")]


MARK = "20261201T120000Z"


def desired(registered: list[Registered], name: str) -> dict[str, Any]:
    return next(json.loads(i.inputs["stdin"])["arguments"][0] for i in registered if i.name == name)


@pytest.mark.parametrize(
    ("rotations", "remade"),
    [
        ({"password": MARK}, {"password-app", "password-barman", "password-streaming_barman"}),
        ({"tls": MARK}, {"server-certificate"}),
        ({"ssh": MARK, "sshNext": MARK}, {"barman-to-postgres", "postgres-to-barman"}),
        ({"sshNext": MARK}, set()),
    ],
)
def test_a_mark_recreates_its_own_secrets_and_no_others(
    rotations: dict[str, str], remade: set[str]
) -> None:
    registered, outputs = run("dev", rotations=rotations)
    marked = {item.name for item in registered if item.inputs.get("keepers")}
    assert marked == {f"identities-{name}" for name in remade}
    assert {key: mark for key, mark in outputs["rotations"].items() if mark} == rotations


def test_the_operator_s_next_key_is_let_in_before_it_is_used_and_stays_the_same() -> None:
    keys, first_boot = {}, {}
    for stage, rotations in (
        ("before", {}),
        ("both", {"sshNext": MARK}),
        ("after", {"ssh": MARK, "sshNext": MARK}),
    ):
        registered, outputs = run("dev", rotations=rotations)
        files = [
            desired(registered, f"{role}-machine-operators")["keys"]
            for role in ("postgres", "barman")
        ]
        assert files[0] == files[1]
        assert files[0]["path"] == "/home/dbadmin/.ssh/authorized_keys"
        keys[stage] = (outputs["sshPrivateKey"], files[0]["content"].splitlines())
        first_boot[stage] = {
            vm.inputs["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"]
            for vm in registered
            if vm.type == VM
        }
    assert len(keys["before"][1]) == len(keys["after"][1]) == 1
    assert keys["both"][1] == [*keys["before"][1], *keys["after"][1]]
    assert keys["both"][0] == keys["before"][0] != keys["after"][0]
    # A VM that is made meanwhile lets in whom this update's connections are by.
    assert first_boot == {
        "before": set(keys["before"][1]),
        "both": set(keys["before"][1]),
        "after": set(keys["after"][1]),
    }


def test_a_rotated_certificate_is_issued_at_its_mark() -> None:
    registered, outputs = run("dev", rotations={"tls": MARK})
    files = desired(registered, "postgres-configure")["files"]
    pem = next(item["content"] for item in files if item["path"].endswith("server.pem"))
    shown = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
    issued = shown.not_valid_before_utc + certificates.LEEWAY
    # Some day that certificate will be at its end, and this be the next one.
    now = datetime.now(UTC)
    assert issued.strftime(certificates.MOMENT) == certificates.server_issue(MARK, now)
    assert outputs["caCertificate"] == dev()[1]["caCertificate"]
