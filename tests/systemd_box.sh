#!/bin/bash
# A real systemd as PID 1 of namespaces of its own, on an overlay of /, with a folder of ours at /run/box.
# Nothing outside is changed. Ends when /run/box/driver has ended, or by the caller's time-out.
#   BOX=FOLDER SOURCE=CHECKOUT SITE=PACKAGES unshare --pid --mount --cgroup --net --uts --ipc --fork --kill-child bash systemd_box.sh
set -e
: "${BOX:?}" "${SOURCE:?}" "${SITE:?}"
mount --make-rprivate /
mkdir -p "$BOX/overlay"
mount -t tmpfs tmpfs "$BOX/overlay"
cd "$BOX/overlay"
mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
cd root
ip link set lo up
mount -t proc proc proc
mount -t sysfs sysfs sys || mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs sys/fs/cgroup
umount sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mkdir -p run/box run/systemd/system
mount --bind "$BOX/box" run/box
# Where a service may look, wherever they are outside.
mkdir -p opt/streamd/source opt/streamd/site opt/streamd/bin
mount --bind "$SOURCE" opt/streamd/source
mount --bind "$SITE" opt/streamd/site
# Credentials are mounted by a helper, and seen by services only where mounts are shared; in containers systemd leaves that.
mount --make-rshared .
printf '[Unit]\nDefaultDependencies=no\n' > run/systemd/system/mini.target
printf '[Unit]\nDefaultDependencies=no\n' > run/systemd/system/network-online.target
(
  until chroot . systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done
  chroot . /run/box/driver > "$BOX/out" 2>&1
  chroot . systemctl exit --force --force
) &
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=mini.target \
  --log-target=console --show-status=no
