#!/bin/sh
# The virtual machine's Debian: recipe.sh SUITE DIRECTORY leaves disk.img, vmlinuz and initrd.img there. Needs root,
# mmdebstrap and mke2fs. What is built here is the same for every test; the package under test comes with the job.
set -eu
suite=${1:?which suite} out=${2:?where to}
work=$(mktemp -d "$out/building.XXXXXX")
trap 'rm -rf "$work"' EXIT

# What a small server has, bustd's dependencies, what a user's session and a pipe of events need, and the other daemons
# for the comparison. procps is not asked for, because nothing of bustd's may need it: then Debian 12 and 13 have none, and
# forky has it for its ucf.
packages="linux-image-amd64 initramfs-tools zstd systemd systemd-sysv dbus udev kmod iproute2 passwd e2fsprogs
    apt python3 python3-msgpack python3-psutil python3-prctl python3-jeepney dbus-user-session jq strace earlyoom nohang
    systemd-oomd"

# The initrd holds only what finds the disk: unpacking more takes the emulated processor many seconds.
cat >"$work/small-initrd" <<'HOOK'
#!/bin/sh
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' >"$1/etc/initramfs-tools/conf.d/bustd-vm"
printf 'virtio_pci\nvirtio_blk\next4\ncrc32c\n' >"$1/etc/initramfs-tools/modules"
HOOK

cat >"$work/finish" <<'HOOK'
#!/bin/sh
set -eu
root=$1
: >"$root/etc/machine-id" # empty, and not missing: that would be a first boot, with presets
printf 'bustd-vm\n' >"$root/etc/hostname"
printf '127.0.0.1 localhost bustd-vm\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 rw,noatime 0 1\n' >"$root/etc/fstab"
chroot "$root" useradd --create-home --uid 1001 alice
chroot "$root" useradd --create-home --uid 1002 mallory
# None of the other daemons runs unless a comparison unmasks and starts it.
for unit in earlyoom.service nohang.service nohang-desktop.service systemd-oomd.service systemd-oomd.socket; do
    chroot "$root" systemctl mask "$unit"
done
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer \
    man-db.timer logrotate.timer systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service; do
    chroot "$root" systemctl mask "$unit" 2>/dev/null || :
done
install -d "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=32M\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf.d/vm.conf"
# The job: a tar on the second disk, its results on the second serial port.
cat >"$root/etc/systemd/system/vm-job.slice" <<'UNIT'
[Slice]
MemoryMin=96M
UNIT
cat >"$root/etc/systemd/system/vm-job.service" <<'UNIT'
[Unit]
Description=The job that the host has given this machine
After=multi-user.target
[Service]
Type=exec
Slice=vm-job.slice
MemoryMin=96M
ExecStart=/bin/sh -c 'mkdir -p /run/job && tar -xf /dev/vdb -C /run/job && exec /usr/bin/python3 -s -E /run/job/guest/main.py'
StandardOutput=journal+console
StandardError=journal+console
OOMScoreAdjust=-1000
LimitMEMLOCK=infinity
Nice=-15
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable vm-job.service
HOOK
chmod 0755 "$work/small-initrd" "$work/finish"

# A suite in the making is signed for a week at a time, and a mirror of it may be older.
# shellcheck disable=SC2086  # a list of package names
mmdebstrap --variant=minbase --include="$(echo $packages | tr ' ' ',')" --aptopt='Acquire::Check-Valid-Until "false"' \
    --essential-hook="$work/small-initrd" --customize-hook="$work/finish" "$suite" "$work/root.tar"
mkdir "$work/root"
tar -xf "$work/root.tar" -C "$work/root"
cp "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
cp "$work"/root/boot/initrd.img-* "$work/initrd.img"
mke2fs -q -t ext4 -d "$work/root" "$work/disk.img" 4G
mv "$work/disk.img" "$work/vmlinuz" "$work/initrd.img" "$out"
