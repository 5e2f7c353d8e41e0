#!/bin/sh
# Runs inside a freshly bootstrapped Debian and makes it the lab's image: what Azure's Debian image
# holds, so far as the program can see it.
# usage: image_setup.sh RELEASE PACKAGE...
set -eu
release=$1
shift
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# The mirror is the one debootstrap has just used; security updates lie beside it.
mirror=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
rm -f /etc/apt/sources.list
cat > /etc/apt/sources.list.d/debian.sources <<SOURCES
Types: deb
URIs: $mirror
Suites: $release $release-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: ${mirror%/}-security
Suites: $release-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES

printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
if ! apt-get update -q; then
    # A mirror that stands still serves lists past their date, which is as good as fresh for a
    # machine that lives for an hour.
    echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/90lab-old-mirror
    apt-get update -q
fi
apt-get dist-upgrade -q -y
apt-get install -q -y --no-install-recommends "$@"
update-ca-certificates
rm /usr/sbin/policy-rc.d

systemctl enable systemd-networkd.service systemd-resolved.service walinuxagent.service
mkdir -m 700 /var/lib/waagent
# Consoles nobody sits at.
systemctl mask console-getty.service getty.target
echo LANG=C.UTF-8 > /etc/default/locale
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf

# Each machine gets its own.
rm -f /etc/ssh/ssh_host_* /etc/hostname
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt/* /var/log/journal/*
