#!/usr/bin/env bash
# Unpacks containerd 2 and runc of Debian 14 (forky) into build/containerd2 (ignored by git) and installs nothing: some
# 50 MB are fetched once. bin/ has containerd, ctr, the shim and runc, lib/ the libraries that runc is linked to.
# tests/containerd2/fetch.sh [SUITE]: of which release of Debian, when not of forky.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${1:-forky}
say() { printf 'containerd2: %s\n' "$*"; }
fail() { printf 'containerd2: %s\n' "$*" >&2; exit 1; }

folder=$PWD/build/containerd2
# Who asks twice gets what is there; another suite, half a folder, or one that was moved, is made anew.
if [ "$(cat "$folder/suite" 2>/dev/null)" = "$suite" ] && "$folder/bin/runc" --version >/dev/null 2>&1; then
  exit 0
fi
for tool in apt-get dpkg; do
  command -v "$tool" >/dev/null || fail "no $tool: kubelab runs on Debian 12 and 13"
done
rm -rf "$folder"
mkdir -p "$folder"/{bin,lib,root,deb,lists/partial,cache}
cd "$folder"

# The machine's own mirror of Debian, asked for another release; of its own only the tool that edits programs.
own=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | grep -v security | sort -u | head -n 1)
[ -n "$mirror" ] || fail "apt knows no mirror of Debian: run apt-get update"
for each in "$own" "$suite"; do printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$each"; done >sources.list
cat >apt.conf <<EOF
Dir::Etc::SourceList "$folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$folder/lists";
Dir::Cache "$folder/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
EOF
export APT_CONFIG=$folder/apt.conf
say "fetching containerd and runc of $suite"
apt-get -qq update
(cd deb && apt-get -qq download "containerd/$suite" "runc/$suite" "libc6/$suite" "libseccomp2/$suite" "patchelf/$own")
for package in deb/*.deb; do dpkg -x "$package" root; done

cp root/usr/bin/{containerd,ctr,containerd-shim-runc-v2} root/usr/sbin/runc bin/
for library in ld-linux-x86-64.so.2 libc.so.6 libseccomp.so.2; do
  cp "root/usr/lib/x86_64-linux-gnu/$library" lib/
done
# runc wants a newer C library than the machine's. It calls itself by /proc/self/exe without its environment, so neither a
# wrapper nor a variable would do: where its libraries are is written into the program.
root/usr/bin/patchelf --set-interpreter "$folder/lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$folder/lib" bin/runc
for program in containerd runc; do
  "bin/$program" --version >"$program.version" || fail "$program of $suite does not run on this machine"
done
rm -rf root deb lists cache apt.conf sources.list
printf '%s' "$suite" >suite
say "done: $(head -n 1 -q containerd.version runc.version | paste -s -d ,)"
