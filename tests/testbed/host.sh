#!/bin/bash
# host.sh ROOT DIR: a machine of its own around a containerd, for as long as standard input stays open.
#
# ROOT is a finished root and is not written to. DIR is seen at the same path inside and outside: sockets, FIFOs, logs.
# Inside there are a PID namespace (its end is the end of everything in it), a mount namespace entered by pivot_root
# (CRIU refuses a chroot) and a /run of its own (runc keeps state there by container name only).
#
# The script is started twice: outside, where it waits and cleans up, and again as process 1 inside, where it obeys
# one word a line on standard input (start, alive, signal NAME) with one line of answer each. At the end of the input,
# which is also what the death of the starting process looks like, everything inside is killed and DIR removed.
#
# With UNIFIED_CGROUPS it has the second version of control groups only, whatever the machine has.
# With OWN_CGROUPS it has control groups of its own too, as another machine has: a container of the same name may be on both.
# With SMALL, a number of bytes, DIR/small is a disk of that size, seen from both sides.
set -eu

own=${OWN_CGROUPS:+/$(basename "${!#}")}

outside() {
  local root=$1 dir=$2 namespace
  : >"$dir/cgroups"
  [ -z "${SMALL:-}" ] || mount -t tmpfs -o "mode=0700,size=$SMALL" testbed "$dir/small"
  (
    [ -z "$own" ] || settle
    exec unshare --mount --propagation private --ipc --pid ${own:+--cgroup} --fork --kill-child \
      bash "${BASH_SOURCE[0]}" --inside "$root" "$dir"
  ) || true
  [ -z "$own" ] || until find /sys/fs/cgroup/*"$own" -depth -type d -exec rmdir {} + 2>/dev/null; do
    [ -n "$(ls -d /sys/fs/cgroup/*"$own" 2>/dev/null)" ] || break
    sleep 0.05
  done
  while read -r namespace; do
    find "/sys/fs/cgroup/$namespace" /sys/fs/cgroup/*/"$namespace" -depth -type d -exec rmdir {} + || true
  done 2>/dev/null <"$dir/cgroups"
  [ -z "${SMALL:-}" ] || umount -l "$dir/small"
  rm -rf -- "$dir"
}

# Into a group of its own in every hierarchy, which the namespace will take for the root.
settle() {
  local hierarchy
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy$own"
    if [ -e "$hierarchy/cpuset.cpus" ]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy$own/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy$own/cpuset.mems"
    fi
    echo "$BASHPID" >"$hierarchy$own/cgroup.procs"
  done
}

# What is seen of control groups from outside is mounted over with what is seen from here.
groups() {
  local kind at options
  while read -r _ at kind options _; do
    case $kind in
      cgroup)
        options=${options#*,relatime,}
        case $options in name=*) options=none,$options ;; esac
        mount -t cgroup -o "$options" cgroup "$at"
        ;;
      cgroup2) mount -t cgroup2 cgroup2 "$at" ;;
    esac
  done < <(grep ' /sys/fs/cgroup/' /proc/mounts)
}

# The second version of control groups, as far as the machine has not given their controllers to the first one.
unified() {
  umount -R -l /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

inside() {
  enter "$@"
  [ -z "$own" ] || groups
  [ -z "${UNIFIED_CGROUPS:-}" ] || unified
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  local dir=$2 pid=0 verb word
  echo ready
  while read -r verb word; do
    case $verb in
      start) containerd --config "$dir/containerd.toml" </dev/null >>"$dir/containerd.log" 2>&1 & pid=$!; echo "$pid" ;;
      alive) kill -0 "$pid" 2>/dev/null && echo yes || echo no ;;
      signal) kill -s "$word" "$pid" 2>/dev/null && echo yes || echo no ;;
      *) echo "unknown word: $verb" ;;
    esac
  done
  leave "$dir"
}

enter() {
  local root=$1 dir=$2
  mount -t tmpfs -o mode=0755 testbed "$dir/fs"
  mkdir "$dir/fs/upper" "$dir/fs/work" "$dir/fs/root"
  cd "$root" # named as "." below: a path with a comma or colon would end the option
  mount -t overlay -o "lowerdir=.,upperdir=$dir/fs/upper,workdir=$dir/fs/work" testbed "$dir/fs/root"
  cd "$dir/fs/root"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs -o mode=0755 testbed run # containers' overlays are here too: an overlay cannot be written on an overlay
  mkdir -p ".$dir" .outside
  mount --bind "$dir" ".$dir"
  [ -z "${SMALL:-}" ] || mount --bind "$dir/small" ".$dir/small"
  pivot_root . .outside
  umount -l /.outside
  cd /
}

# Life for what is frozen (in the first version of control groups a paused process does not even die), and the names
# of the control groups for outside() to remove: runc makes /NAMESPACE/CONTAINER and leaves /NAMESPACE behind.
leave() {
  local dir=$1 process group namespace
  for process in /proc/[0-9]*; do
    while IFS=: read -r _ _ group; do
      [ "$group" = / ] || echo THAWED >"/sys/fs/cgroup/freezer$group/freezer.state" || true
    done < <(grep :freezer: "$process/cgroup") || true
  done 2>/dev/null
  for namespace in /run/containerd/runc/*/; do
    [ -d "$namespace" ] && basename "$namespace" >>"$dir/cgroups"
  done
  return 0
}

if [ "$1" = --inside ]; then
  shift
  inside "$@"
else
  outside "$@"
fi
