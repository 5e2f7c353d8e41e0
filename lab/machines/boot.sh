#!/bin/sh
# Runs one machine until it is off; a reboot from inside starts it again. Everything mounted here is
# private to these processes and gone with them.
# usage: boot.sh NETWORK-NAMESPACE LOWER-DIRECTORIES NSPAWN-ARGUMENT...   (in the machine's directory)
set -eu
namespace=$1 lower=$2
shift 2

# nspawn takes its idea of control groups from what is mounted here.
if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" != cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mount -t overlay overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" root

# A group that holds processes cannot hand controllers down: keep this script beside nspawn's.
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$group/boot" "$group/nspawn"
echo $$ > "$group/boot/cgroup.procs"

status=133 # what nspawn exits with when the machine asks for a reboot
while [ "$status" -eq 133 ]; do
    status=0
    # nspawn is started inside the machine's network, and not told about it: /sys would show the
    # host's interfaces otherwise.
    sh -c 'echo $$ > "$0/nspawn/cgroup.procs" && exec nsenter "$@"' "$group" \
        --net="/run/netns/$namespace" systemd-nspawn "$@" || status=$?
    # A machine that is off does not answer.
    ip -n "$namespace" link set group 1 down
done
exit "$status"
