#!/bin/sh
# Runs in a chroot of the guest's tree, in its own mount and PID namespaces: imports every archive beside it.
set -e
here=/tmp/preload
socket=/run/preload.sock

cat >$here/config.toml <<END
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$here/opt"
END

containerd --config $here/config.toml >$here/containerd.log 2>&1 &
containerd=$!
ctr="ctr --address $socket --namespace k8s.io"

tries=0
until $ctr version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $containerd 2>/dev/null; then
        tail -n 5 $here/containerd.log >&2
        echo "containerd did not start in the guest's tree" >&2
        exit 1
    fi
    sleep 0.1
done

for archive in $here/*.tar; do
    $ctr images import --snapshotter overlayfs "$archive" || {
        tail -n 5 $here/containerd.log >&2
        exit 1
    }
done
for name in $($ctr images list --quiet); do
    $ctr images label "$name" io.cri-containerd.image=managed >/dev/null
done
# Pinned: the kubelet's image collection must not remove the sandbox image.
$ctr images label registry.k8s.io/pause:3.10 io.cri-containerd.pinned=pinned >/dev/null

kill -TERM $containerd
wait $containerd || true
