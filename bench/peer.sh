#!/usr/bin/env bash
# Builds the peer of `bench api`, the real kube-apiserver, from Debian 12's source package into build/peer (ignored by
# git) and installs nothing. Ten to fifteen minutes on two cores; repeated, it goes on where it stopped.
# bench/peer.sh [kube-apiserver kube-controller-manager kube-scheduler]: which to build; the API server when none is named.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/peer/bin build/peer/lists/partial build/peer/cache build/peer/go build/peer/deb
cd build/peer
here=$PWD
commands=("${@:-kube-apiserver}")
say() { printf 'peer: %s\n' "$*"; }
fail() { printf 'peer: %s\n' "$*" >&2; exit 1; }

for tool in apt-get dpkg-source dpkg; do
  command -v "$tool" >/dev/null || fail "no $tool: apt-get install dpkg-dev"
done

# The machine's own mirror of Debian, asked for the release whose package this is.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | grep -v security | sort -u | head -n 1)
[ -n "$mirror" ] || fail "apt knows no mirror of Debian: run apt-get update"
for type in deb deb-src; do printf '%s [signed-by=%s] %s bookworm main\n' "$type" "$keyring" "$mirror"; done >sources.list
cat >apt.conf <<END
Dir::Etc::SourceList "$here/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$here/lists";
Dir::Cache "$here/cache";
APT::Sandbox::User "";
END
export APT_CONFIG=$here/apt.conf

if [ ! -e deb/done ]; then
  say "fetching the source and the compiler"
  apt-get -qq update
  (cd deb && apt-get -qq download golang-1.19-go golang-1.19-src && apt-get -qq source --download-only kubernetes)
  touch deb/done
fi
export GOPATH=$here/path GOCACHE=$here/go-cache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
export PATH=$here/go/usr/lib/go-1.19/bin:$PATH
source=$GOPATH/src/k8s.io/kubernetes
if [ ! -e source-ready ]; then
  say "unpacking"
  for package in deb/golang-1.19-*.deb; do dpkg -x "$package" go; done
  rm -rf "$source"
  mkdir -p "$(dirname "$source")"
  dpkg-source --no-check -x deb/kubernetes_*.dsc "$source" >/dev/null
  # reflect.mapiterinit takes the iterator since Go 1.18; with the old call, ranging over maps by reflection crashes.
  reflect2=$source/vendor/github.com/modern-go/reflect2
  sed -i 's/^func mapiterinit(.*/func mapiterinit(rtype unsafe.Pointer, m unsafe.Pointer, it *hiter)/' \
    "$reflect2/unsafe_link.go"
  sed -i 's|// rest fields are ignored|t, h, buckets, bptr, overflow, oldoverflow unsafe.Pointer\n\tstart uintptr\n\tsmall [4]uint8\n\tbucket, check uintptr|' \
    "$reflect2/unsafe_link.go"
  sed -i 's/^\treturn &UnsafeMapIterator{/\tvar it hiter\n\tmapiterinit(type2.rtype, *(*unsafe.Pointer)(obj), \&it)\n&/;
    s/mapiterinit(type2.rtype, \*(\*unsafe.Pointer)(obj)),/\&it,/' "$reflect2/unsafe_map.go"
  grep -q 'it \*hiter' "$reflect2/unsafe_link.go" && grep -q '&it,' "$reflect2/unsafe_map.go" ||
    fail "reflect2 is not what it was: the crash on maps cannot be mended"
  touch source-ready
fi
cd "$source"

openapi=pkg/generated/openapi/zz_generated.openapi.go
if [ ! -e "$openapi" ]; then
  say "generating the OpenAPI definitions, which the package lacks"
  go build -o "$here/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  inputs=$(grep -Rl --include='*.go' '+k8s:openapi-gen=' vendor/k8s.io/ pkg cmd |
    grep -Ev '/(code-generator|sample-apiserver|kube-openapi|gengo)/|zz_generated|_test.go' |
    xargs -n 1 dirname | sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -s -d ,)
  "$here/openapi-gen" -v 0 -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h hack/boilerplate/boilerplate.generatego.txt -r "$here/openapi-violations" -o "$GOPATH/src"
fi

flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for place in "k8s.io/kubernetes/vendor/$package" "$package"; do
    flags+=" -X $place.gitVersion=v1.20.2 -X $place.gitMajor=1 -X $place.gitMinor=20 -X $place.gitTreeState=clean"
  done
done
for command in "${commands[@]}"; do
  say "building $command"
  go build -trimpath -ldflags "$flags" -o "$here/bin/$command" "./cmd/$command"
done
say "done: build/peer/bin"
