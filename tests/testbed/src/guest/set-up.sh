#!/bin/sh
# Once, before anything else: file systems, modules of the virtual devices, names and addresses.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
chmod 1777 /tmp /var/tmp
# As systemd leaves it: groups below the root may have these.
echo '+cpu +memory +io +pids' > /sys/fs/cgroup/cgroup.subtree_control
# One at a time: to busybox a module that is still on its way in is one that is there.
printf '#!/bin/sh\nexec /usr/bin/flock /run/modprobe /bin/modprobe "$@"\n' > /etc/modprobe
chmod 755 /etc/modprobe
echo /etc/modprobe > /proc/sys/kernel/modprobe
# The last before anybody asks: `nft` fails while it is on its way in.
for module in virtio_pci virtio_console virtio_net nf_tables; do modprobe $module; done
asked() { tr ' ' '\n' < /proc/cmdline | sed -n "s/^testbed.$1=//p"; }
hostname "$(asked name)"
ip link set lo up
# Addresses that the kernel chooses by itself come when they please.
[ ! -e /proc/sys/net/ipv6/conf/eth0 ] || echo 1 > /proc/sys/net/ipv6/conf/eth0/addr_gen_mode
for address in $(asked address); do
  ip link set eth0 up
  ip address add "$address" dev eth0 nodad
done
# The kernel tells that a link has come up when it comes to it: whoever compares what was with what is must not see that happen.
if [ -e /sys/class/net/eth0 ] && [ -n "$(asked address)" ]; then
  for _ in $(seq 600); do
    [ "$(cat /sys/class/net/eth0/operstate)" = up ] && break
    sleep 0.05
  done
fi
