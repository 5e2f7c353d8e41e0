"""The two machines as docs/security.md describes them: sshd, kernel, units, files, updates."""

import re

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.stack import Stack

pytestmark = pytest.mark.machines

SERVICE_USER = {"postgres-lab": "postgres", "barman-lab": "barman"}
MACHINES = tuple(SERVICE_USER)
# What `sshd -T` says is in force on both machines.
SSHD = {
    "hostkey": "/etc/ssh/ssh_host_ed25519_key",
    "permitrootlogin": "no",
    "authenticationmethods": "publickey",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "permitemptypasswords": "no",
    "hostbasedauthentication": "no",
    "ignorerhosts": "yes",
    "gssapiauthentication": "no",
    "permituserenvironment": "no",
    "permituserrc": "no",
    "allowtcpforwarding": "no",
    "allowagentforwarding": "no",
    "allowstreamlocalforwarding": "no",
    "x11forwarding": "no",
    "maxauthtries": "4",
    "maxsessions": "10",
    "maxstartups": "10:30:60",
    "logingracetime": "60",
    "clientaliveinterval": "60",
    "clientalivecountmax": "3",
    "loglevel": "VERBOSE",
    "macs": "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com",
}
# Our own services, and how exposed systemd-analyze may call them: 0 not at all, 10 unsafe.
EXPOSURE = {
    "postgres-lab": {"durability-guard": 1.0},
    "barman-lab": {"barman-receiver-watch": 2.0, "backup-verify": 2.0, "barman-exporter": 2.0},
}
SYSCTL = CHECKOUT / "host" / "files" / "sysctl-hardening.conf"


def settings() -> dict[str, str]:
    """Kernel setting -> value, as the file asks for it."""
    lines = [line for line in SYSCTL.read_text().splitlines() if not line.startswith("#")]
    return {key: value for key, value in (re.split(r"\s*=\s*", line) for line in lines)}


@pytest.mark.parametrize("name", MACHINES)
def test_sshd_has_every_setting_in_force(stack: Stack, name: str) -> None:
    user = SERVICE_USER[name]
    said = stack.on(name, f"sshd -T -C user={user},host=x,addr=10.0.0.1").splitlines()
    shown = dict(line.split(" ", 1) for line in said)
    assert {key: shown[key] for key in SSHD} == SSHD
    assert [line for line in said if line.startswith("allowusers")] == [
        "allowusers dbadmin",
        f"allowusers {user}",
    ]


@pytest.mark.parametrize(
    ("name", "forwarding", "to"),
    [
        ("postgres-lab", "no", "any"),
        ("barman-lab", "local", "10.20.0.4:22 127.0.0.1:9090 127.0.0.1:9093"),
    ],
)
def test_what_the_operator_may_reach_through_a_machine(
    stack: Stack, name: str, forwarding: str, to: str
) -> None:
    said = stack.on(name, "sshd -T -C user=dbadmin,host=x,addr=10.0.0.1").splitlines()
    assert f"allowtcpforwarding {forwarding}" in said
    assert f"permitopen {to}" in said
    assert {"allowstreamlocalforwarding no", "allowagentforwarding no"} <= set(said)


@pytest.mark.parametrize("name", MACHINES)
def test_an_upgrade_of_sshd_makes_no_other_host_key(stack: Stack, name: str) -> None:
    """Clients pin the one there is, and might be shown another."""
    stack.on(name, "DEBIAN_FRONTEND=noninteractive dpkg-reconfigure openssh-server")
    assert stack.on(name, "ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"


@pytest.mark.parametrize("name", MACHINES)
def test_the_kernel_takes_every_setting(stack: Stack, name: str) -> None:
    """A lab machine shares its host's kernel and may not change it, so systemd-sysctl stands by.
    The network's settings are tried in a network of their own; of the others, that they exist."""
    installed = stack.on(name, "cat /etc/sysctl.d/90-hardening.conf")
    assert installed == SYSCTL.read_text().strip()
    desired = {key: value for key, value in settings().items() if not key.startswith("-")}
    network = {key: value for key, value in desired.items() if key.startswith("net.")}
    assert len(network) > 10
    paths = " ".join(f"/proc/sys/{key.replace('.', '/')}" for key in desired)
    assert stack.on(name, f"ls {paths} | wc -l") == str(len(desired))
    apply = " ".join(f"{key}={value}" for key, value in network.items())
    shown = stack.on(
        name,
        "unshare --net --pid --fork --mount-proc sh -ec "
        f"'sysctl -q {apply}; sysctl {' '.join(network)}'",
    )
    assert dict(line.split(" = ") for line in shown.splitlines()) == network


@pytest.mark.parametrize("name", MACHINES)
def test_our_services_run_in_a_sandbox(stack: Stack, name: str) -> None:
    for unit, most in EXPOSURE[name].items():
        said = stack.on(name, f"systemd-analyze security --no-pager {unit} 2>&1 | tail -1")
        exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
        assert exposure, said
        assert float(exposure[1]) <= most, said
    # The same measure of a service that nobody put into one.
    cron = stack.on(name, "systemd-analyze security --no-pager cron 2>&1 | tail -1")
    assert "UNSAFE" in cron


OURS = "/etc /usr/local /opt /root /home /var/lib/barman /var/lib/postgresql /data"


@pytest.mark.parametrize("name", MACHINES)
def test_nobody_but_its_owner_writes_to_a_file(stack: Stack, name: str) -> None:
    # A group that is one user's own, or nobody's, opens nothing to others.
    private = (SERVICE_USER[name], "staff")
    others = " ".join(f"! -group {group}" for group in private)
    loose = rf"find {OURS} \( -type f -o -type d \) \( -perm /002 -o -perm /020 {others} \)"
    for group in private:
        assert stack.on(name, f"getent group {group} | cut -d: -f4") == "", group
    # Barman's and PostgreSQL's own files come and go meanwhile.
    assert stack.on(name, f"{loose} 2>/dev/null; true") == ""
    stack.on(name, "touch /etc/loose && chmod 666 /etc/loose")
    try:
        assert stack.on(name, f"{loose} 2>/dev/null; true") == "/etc/loose"
    finally:
        stack.on(name, "rm /etc/loose")


@pytest.mark.parametrize("name", MACHINES)
def test_what_root_runs_belongs_to_root(stack: Stack, name: str) -> None:
    places = "/usr/local /etc/systemd/system /etc/cron.d /etc/ssh /etc/sudoers.d /etc/apt"
    assert stack.on(name, f"find {places} ! -user root") == ""


@pytest.mark.parametrize("name", MACHINES)
def test_no_program_of_ours_takes_on_rights(stack: Stack, name: str) -> None:
    """Every setuid or setgid file is one that a package brought."""
    files = stack.on(name, "find /usr /opt /etc /var /root /home -xdev -type f -perm /6000").split()
    assert "/usr/bin/sudo" in files
    assert "no path found" not in stack.on(name, f"dpkg-query -S {' '.join(files)} 2>&1")
    assert stack.on(name, "find /data -type f -perm /6000") == ""


SECRETS = {
    "postgres-lab": ("/var/lib/postgresql/.ssh/id_ed25519", "/etc/ssh/ssh_host_ed25519_key"),
    "barman-lab": (
        "/var/lib/barman/.ssh/id_ed25519",
        "/var/lib/barman/.pgpass",
        "/etc/ssh/ssh_host_ed25519_key",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_secrets_are_their_owner_s_alone(stack: Stack, name: str) -> None:
    for path in SECRETS[name]:
        assert stack.on(name, f"stat -c %a {path}") == "600", path
        assert "denied" in stack.on(name, f"runuser -u nobody -- cat {path} 2>&1", check=False)


def test_a_security_update_of_what_postgresql_uses_does_not_restart_it(stack: Stack) -> None:
    """Packages that restart services on some upgrades, and those of PostgreSQL that are not held
    back: their scripts run as in an upgrade."""
    packages = "libpam0g libssl3t64 postgresql-common"
    main_pid = "systemctl show --property=MainPID --value postgresql@"
    pid = f"{main_pid}{stack.cluster.replace('/', '-')}"
    before = stack.on("postgres-lab", pid)
    assert int(before) > 1
    since = stack.on("postgres-lab", "date '+%F %T'")
    stack.on(
        "postgres-lab",
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "
        f"--reinstall install {packages}",
    )
    log = stack.on("postgres-lab", f"awk -v s='{since}' '$1\" \"$2 >= s' /var/log/dpkg.log")
    for package in packages.split():
        assert re.search(rf"status installed {package}:", log), package
    assert stack.on("postgres-lab", pid) == before


@pytest.mark.parametrize("name", MACHINES)
def test_unattended_upgrades_leave_postgresql_and_the_hour_of_a_reboot_alone(
    stack: Stack, name: str
) -> None:
    held = stack.on(name, "apt-config dump Unattended-Upgrade::Package-Blacklist")
    version = stack.cluster.split("/")[0]
    (pattern,) = re.findall(r'Package-Blacklist:: "(.*)";', held)
    assert re.match(pattern, f"postgresql-{version}")
    assert not re.match(pattern, "openssl")
    reboot = stack.on(name, "apt-config dump Unattended-Upgrade::Automatic-Reboot")
    assert reboot.endswith('"false";')
    assert stack.on(name, "systemctl is-enabled apt-daily-upgrade.timer") == "enabled"
    assert "postgresql" in stack.on(name, "cat /etc/needrestart/conf.d/postgresql.conf")


@pytest.mark.parametrize("name", MACHINES)
def test_apparmor_is_there_and_left_on(stack: Stack, name: str) -> None:
    """Whether the kernel enforces it is the image's affair; a lab machine's has no AppArmor."""
    assert stack.on(name, "systemctl is-enabled apparmor") == "enabled"
    assert "apparmor=0" not in stack.on(name, "cat /etc/default/grub.d/* 2>/dev/null; true")
