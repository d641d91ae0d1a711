#!/bin/sh
# Installs the Debian packages that building, testing and the demo need, and
# those given as arguments; where that is not allowed, names them.
set -eu

need="gcc make pkg-config libc6-dev libjpeg62-turbo-dev libpng-dev
libmsgpack-dev libjansson-dev libutf8proc-dev libpcre2-dev nettle-dev
zlib1g-dev libcairo2-dev fonts-dejavu-core perl jq unzip util-linux
python3-pip mandoc python3-msgpack-numpy $*"

missing=
for p in $need; do
	status=$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null || true)
	case $status in
	*" installed") ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root=sudo
else
	echo "setup: please install:$missing" >&2
	exit 1
fi
echo "setup: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to split
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
