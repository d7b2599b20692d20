#!/bin/sh
# Installs the programs that tests hold medagg's work against, all that are missing at once, so that
# the lists of packages are fetched once. Only root on Debian or Ubuntu can.
set -eu
PATH="$PATH:/usr/local/sbin:/usr/sbin"  # an ordinary user's PATH often leaves these out

programs="
7z p7zip-full
bsdtar libarchive-tools
chromium chromium fonts-liberation
curl curl
faketime faketime
nginx nginx-light
unzip unzip
wget wget
"

# Parallel test processes come here at the same time, and apt-get would refuse the second.
exec 9>"${TMPDIR:-/tmp}/medagg-apt.lock"
flock 9

missing=$(echo "$programs" | while read -r program packages; do
	[ -z "$program" ] || command -v "$program" >/dev/null || echo "$packages"
done)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "only root on Debian or Ubuntu can have programs installed here" >&2
	exit 1
fi
# In runlevel 1 Debian starts no service when it installs one: port 80 is not ours to take.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update --quiet >/dev/null
# shellcheck disable=SC2086 - a list of words
apt-get install --quiet --yes --no-install-recommends $missing >/dev/null
