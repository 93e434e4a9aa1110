#!/bin/sh
# Install the Debian packages that the tests drive: an RTSP server, two browsers, FFmpeg, a C compiler, a network cable, proxies, Prometheus.
# Does nothing where they are there already; says what is missing where this user may not install them.
set -eu

packages="chromium firefox-esr ffmpeg curl nginx caddy haproxy apache2-bin prometheus gcc iproute2 libc6-dev linux-libc-dev python3-gi gir1.2-gst-rtsp-server-1.0 glib-networking
gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"

command -v npm >/dev/null || packages="$packages nodejs npm" # Node's own packages bring npm along

if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian system: some tests need $packages and skip without them." >&2
    exit 0
fi

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Some tests skip without these packages:$missing" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # one word a package
apt-get install -y -qq --no-install-recommends $missing >/dev/null
