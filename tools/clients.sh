#!/bin/sh
# Install the clients that nobody here wrote, which the tests drive our servers with. Where that is not allowed, say
# in one line what is missing and how to get it. Never fails: a test without its client is skipped, with that reason.
set -u
missing=
for client in socat ncat curl wrk; do
    command -v "$client" >/dev/null 2>&1 || missing="$missing $client" # each is a Debian package of that name
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    echo "clients: installing$missing"
    apt-get update -qq >/dev/null 2>&1 </dev/null
    for client in $missing; do # one by one: a package that this release lacks must not cost the others
        apt-get install -y -qq --no-install-recommends "$client" >/dev/null 2>&1 </dev/null
    done
fi

left=
for client in $missing; do
    command -v "$client" >/dev/null 2>&1 || left="$left $client"
done
[ -z "$left" ] || echo "clients: not here, so their tests are skipped:$left; as root: apt-get install$left"
exit 0
