#!/bin/busybox sh
# From the initramfs to the host's root under an overlay, and into the rig's agent.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module"; done < /modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /lower || exec $b sh
$b mount -t tmpfs -o size=75% upper /upper
$b mkdir /upper/data /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root
# The rig's folder has a path of its own: the mounts below may cover the path that it has on the host.
$b mkdir /root/unmoor-rig
$b mount --bind "/root$($b cat /rig/directory)" /root/unmoor-rig
AGENT=/unmoor-rig/bin/rig-guest
PATH=/unmoor-rig/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export AGENT PATH HOME=/root LANG=C.UTF-8
for directory in proc sys dev; do $b mount --move "/$directory" "/root/$directory"; done
for directory in tmp run mnt; do $b mount -t tmpfs "$directory" "/root/$directory"; done
$b mkdir -p /root/lib/modules /root/dev/pts /root/dev/shm
$b mount -t devpts devpts /root/dev/pts
$b mount -t tmpfs shm /root/dev/shm
$b mount -t debugfs debugfs /root/sys/kernel/debug
$b mount --bind /root/unmoor-rig/kernel/lib/modules /root/lib/modules
# The shell stays process 1, which collects orphans; the agent's end is the guest's end.
exec $b switch_root /root /bin/sh -c '"$AGENT" agent; /bin/busybox poweroff -f'
