# systemd as the first process of namespaces of its own: `systemd.sh DIRECTORY PATH...`. Its files are this machine's below a layer that
# is thrown away; its units are those in DIRECTORY/units and no others, so that nothing of this machine's is started or tidied
# up. PATH... are seen from inside as they are. The network is this machine's.
set -eu
directory=$1
shift
mount --make-rprivate /
mkdir "$directory/layer"
mount -t tmpfs none "$directory/layer"
mkdir "$directory/layer/upper" "$directory/layer/work" "$directory/layer/root"
root=$directory/layer/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/layer/upper,workdir=$directory/layer/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/run"
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs none "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
for path in "$directory/units" "$@"; do
  mkdir -p "$root$path"
  mount --bind "$path" "$root$path"
done
: >"$root/etc/machine-id"
mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l /old
mount --make-rshared / # as systemd finds it on a host; credentials come that way
export container=lxc SYSTEMD_UNIT_PATH="$directory/units"
exec /usr/lib/systemd/systemd --system --show-status=0 --log-target=console --log-level=info
