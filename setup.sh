#!/usr/bin/env bash
# Installs what kubelab needs on Debian 12 or 13: system packages, and .venv with the kubelab command. Starts nothing.
# Safe to repeat; quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"

packages=(
  # virtual machines
  qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu libvirt-dev dnsmasq-base
  # images: the guest, its boot loader, the container images
  mmdebstrap debian-archive-keyring e2fsprogs dosfstools mtools fdisk syslinux syslinux-common cpio zstd busybox-static
  gcc libc6-dev binutils pkg-config
  # nodes as network namespaces, and the tests
  containerd runc etcd-server etcd-client docker-registry containernetworking-plugins iptables nftables conntrack keepalived
  iproute2 procps curl dbus-daemon
  python3 python3-venv python3-dev
)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "not root, and there is no sudo: run as root, or install sudo"
  sudo=(sudo)
fi
command -v apt-get >/dev/null || fail "no apt-get: kubelab runs on Debian 12 and 13"

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get -qq update
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
    --no-install-recommends "${missing[@]}" >/dev/null
fi

python=""
# Debian's own first: it is built with profile-guided optimization, which a version manager's often is not.
for candidate in /usr/bin/python3 python3.13 python3.12 python3.11; do
  # Asked, not looked up: a version manager's shim is a command that may lead nowhere.
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "no Python 3.11 or newer with the venv module"

say "Python environment in .venv ($("$python" --version))"
[ -x .venv/bin/python ] || "$python" -m venv .venv
# The machines' versions, without their hashes (pip wants all or none), and those of the tools.
sed -n 's/^\([A-Za-z0-9._-]*==[^ ;\\]*\).*/\1/p' images/guest/requirements.lock >.venv/constraints.txt
cat tests/constraints.txt >>.venv/constraints.txt
# setuptools warns of folders that may be taken for packages, at every editable install.
PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --constraint .venv/constraints.txt --editable '.[host,test]'
touch .venv/ready
say "done: $(.venv/bin/python -c 'import sys; print(sys.prefix)')/bin/kubelab"
