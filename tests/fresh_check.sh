#!/bin/bash
# Proves `make run` and `make test` on a bare Debian 12 with nothing but git and make: bootstraps one
# into a temporary folder from this machine's own package source, clones the last commit into it, and
# runs both commands there, as root and `make run` again as a user with sudo.
# Needs root. FRESH_KEEP=1 keeps the folder; FRESH_TEST=0 leaves `make test` out.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "fresh-check: needs root (debootstrap, chroot)" >&2; exit 2; }
command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null

root=$(mktemp -d /tmp/aileron-fresh.XXXXXX)
chmod 755 "$root" # it becomes / for accounts other than root, too
finish() { [ -n "${FRESH_KEEP:-}" ] && echo "kept: $root" || rm -rf --one-file-system "$root"; }
trap finish EXIT

# The first archive this machine installs from, in either of apt's two file forms.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -nE 's/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p; s/^URIs: *([^ ]+).*/\1/p' |
    grep -m1 -E '/debian/?$' || true)
echo "fresh-check: bootstrapping Debian 12"
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" ${mirror:+"$mirror"} \
    >"/tmp/aileron-fresh.$$.log" 2>&1 || { tail -5 "/tmp/aileron-fresh.$$.log" >&2; exit 1; }
rm -f "/tmp/aileron-fresh.$$.log"

# How this machine reaches its packages: sources, keys, proxies, certificates, the name server.
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/keyrings /etc/resolv.conf \
    /etc/hosts /etc/pip.conf /usr/local/share/ca-certificates /usr/share/keyrings; do
    [ -e "$path" ] && { mkdir -p "$root$(dirname "$path")"; cp -rLT "$path" "$root$path"; }
done
grep -lE '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null |
    xargs -r -I{} cp {} "$root/etc/apt/apt.conf.d/" || true
env | grep -E '^(PIP_(INDEX|EXTRA|TRUSTED|CERT|DEFAULT)[A-Z_]*|[a-zA-Z]*_proxy|[A-Z]*_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE)=' \
    >"$root/root/environment" || true
git clone -q --bare . "$root/source.git"
[ -d ../shared/data ] && { mkdir -p "$root/shared"; mkdir -p "$root/root/shared"; }

cat >"$root/root/steps.sh" <<'STEPS'
#!/bin/bash
set -euo pipefail
set -a; . /root/environment; set +a
export DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin CI=true
export LANG=C.UTF-8
mount -t proc proc /proc
mount -t tmpfs shm /dev/shm 2>/dev/null || { mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm; }
update-ca-certificates >/dev/null 2>&1 || true
apt-get update -qq && apt-get install -y -qq --no-install-recommends git make sudo >/dev/null
git config --global --add safe.directory '*'

# run_check DIR USER: `make run` until it answers, then SIGTERM; it must end by itself.
run_check() {
    local dir=$1 user=$2 log=$1/run.log pid waited=0 port
    su "$user" -c "cd $dir && exec make run >$log 2>&1" &
    pid=$!
    until grep -q 'listening on http://' "$log" 2>/dev/null; do
        sleep 1; waited=$((waited + 1))
        kill -0 $pid 2>/dev/null || { tail -20 "$log"; echo "make run ended early ($user)"; return 1; }
        [ $waited -lt 1500 ] || { tail -20 "$log"; echo "make run took too long ($user)"; return 1; }
    done
    grep -q 'signin#link=' "$log" || { tail -5 "$log"; echo "no sign-in link ($user)"; return 1; }
    port=$(sed -nE 's#.*listening on http://[^:]+:([0-9]+).*#\1#p' "$log" | head -1)
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    head -1 <&3 | grep -q ' 200 ' || { echo "not ready ($user)"; return 1; }
    exec 3>&-
    pkill -TERM -x aileron
    wait $pid || true
    if pgrep -x aileron >/dev/null; then echo "still running after SIGTERM ($user)"; return 1; fi
    if pgrep -x postgres >/dev/null; then echo "PostgreSQL left behind ($user)"; return 1; fi
    echo "fresh-check: make run as $user: ready after ${waited} s, ended on SIGTERM"
}

git clone -q /source.git /root/aileron
command -v pkill >/dev/null || apt-get install -y -qq --no-install-recommends procps >/dev/null
run_check /root/aileron root
if [ "${FRESH_TEST:-1}" = 1 ]; then
    cd /root/aileron && make test 2>&1 | tee /root/test.log | grep -E '^(==|--|FAIL|not ok)|passed' || true
    tail -1 /root/test.log | grep -qE '^[0-9]+ passed, 0 failed' ||
        { tail -40 /root/test.log; echo "make test failed"; exit 1; }
fi
useradd -m -s /bin/bash builder
echo 'builder ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/builder
su builder -c 'git config --global --add safe.directory "*" && git clone -q /source.git ~/aileron'
run_check /home/builder/aileron builder
echo "fresh-check: done"
STEPS
sed -i "s/FRESH_TEST:-1/FRESH_TEST:-${FRESH_TEST:-1}/" "$root/root/steps.sh"
# The real data beside the checkout, read-only, where it is there.
unshare --mount --pid --fork --kill-child bash -euc "
    mount --make-rprivate /
    mount --rbind /dev '$root/dev'
    if [ -d ../shared/data ]; then mount --bind -o ro \"\$(realpath ../shared)\" '$root/root/shared'; fi
    exec chroot '$root' /bin/bash /root/steps.sh"
