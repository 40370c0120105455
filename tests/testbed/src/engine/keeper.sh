# Holds an engine's namespaces and starts its daemon; $1 is the folder with everything that is the engine's, $2 its name.
# It is told what to do on standard input. That closes when whoever started us has ended, however: then everything goes.
set -u
folder=$1 name=$2
PATH=$PATH:/usr/sbin:/sbin

# Every cgroup hierarchy, and the one (without controllers, beside those of the first version) that can kill a whole group.
hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)

start() {
  mkdir -p "$unified/$name/engine"
  # A zombie that nobody reaps would be taken for the old one, alive.
  rm -f "$folder/exec/containerd/containerd.pid"
  (
    echo 0 >"$unified/$name/engine/cgroup.procs"
    # It goes even if somebody kills us before our turn to clear up.
    exec setpriv --pdeathsig KILL dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" \
      --exec-root "$folder/exec" --pidfile "$folder/pid" --cgroup-parent "/$name/containers" "$@"
  ) >>"$folder/log" 2>&1 </dev/null &
  engine=$!
}

# Users for containers that are not this machine's: seen in our namespace only.
lend_users() {
  mkdir -p "$folder/etc"
  printf '%s:200000:65536\n' nobody nogroup | tee "$folder/etc/subuid" >"$folder/etc/subgid"
  mount -t overlay -o "lowerdir=$folder/etc:/etc" overlay /etc
}

clear_up() {
  kill -KILL "$engine"
  # What is frozen does not die; somebody may be freezing while we look.
  until rmdir "$unified/$name" || [ ! -e "$unified/$name" ]; do
    find $hierarchies -path "*/$name/*" -name freezer.state | while read -r state; do echo THAWED >"$state"; done
    echo 1 >"$unified/$name/cgroup.kill"
    for hierarchy in $hierarchies; do find "$hierarchy/$name" -depth -type d -exec rmdir {} +; done
    sleep 0.02
  done
  for hierarchy in $hierarchies; do find "$hierarchy/$name" -depth -type d -exec rmdir {} +; done
  awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r at; do umount -l "$at"; done
  rm -rf "$folder"
}

ip link set lo up
case "$3" in *userns-remap*) lend_users ;; esac
while read -r word arguments; do
  case "$word" in
    start) start $arguments ;;
    signal)
      kill -"$arguments" "$engine" && wait "$engine"
      kill -KILL "$(cat "$folder/exec/containerd/containerd.pid")"
      ;;
  esac
done
clear_up >/dev/null 2>&1
