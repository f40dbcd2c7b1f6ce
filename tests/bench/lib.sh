# shellcheck shell=bash disable=SC2034,SC2154 # names are shared among the files of scripts/bench
# What the figures of scripts/bench share: cores, ports, the gateway and its yardstick, load, checks, and the table.
# Servers run on one core, load on another. Needs: root (the repository), work (a directory that goes away), only (a figure, or empty).

readonly ROUNDS=5
readonly CONNECTIONS=64
programs=$root/build/release/bench
running=()

# ---- words ----

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "bench: $*"
    exit 1
}

wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

# calc FORMAT EXPRESSION: with awk's arithmetic.
calc() { awk "BEGIN { printf \"$1\", ($2) }"; }

# Of the numbers given.
median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Lowest and highest of the numbers given.
spread() { printf '%s\n' "$@" | sort -g | sed -n '1h;$!d;H;x;s/\n/ to /p'; }

rows=() lines=()

# report NAME VALUE UNIT BAR DETAIL: BAR is "least N" or "most N".
report() {
    local name=$1 value=$2 unit=$3 bar=$4 detail=$5 operator='>=' verdict=missed
    wanted "$name" || return 0
    [ "${bar%% *}" = least ] || operator='<='
    [ "$(calc %d "$value $operator ${bar#* }")" = 0 ] || verdict=met
    rows+=("$(printf '%-20s %10s %-6s at %-11s %-7s %s' "$name" "$value" "$unit" "$bar" "$verdict" "$detail")")
    lines+=("bench $name $value $unit")
}

print_report() {
    printf '\n%-20s %10s %-6s %-14s %-7s %s\n' figure value unit bar '' 'behind it'
    printf '%s\n' "${rows[@]}" '' "${lines[@]}"
}

# ---- cores and ports ----

# The first and the last core that we may use, which share least.
pick_cores() {
    local list
    list=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | awk -F- '{ for (i = $1; i <= $NF; i++) print i }')
    load_core=$(head -n 1 <<<"$list")
    server_core=$(tail -n 1 <<<"$list")
    if [ "$load_core" = "$server_core" ]; then
        say "bench: only one core: load and servers share it, and the figures say little"
    fi
}

on_load_core() { taskset -c "$load_core" "$@"; }
on_server_core() { taskset -c "$server_core" "$@"; }

ports=()
# Sets port to one that nobody listens on, below those that the kernel hands out.
pick_port() {
    local tries
    for tries in {1..200}; do
        port=$((10000 + RANDOM % 20000))
        [[ " ${ports[*]} " == *" $port "* ]] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            ports+=("$port")
            return 0
        }
    done
    fail "no free port after $tries tries"
}

# Says so if the machine has other things to do.
warn_if_busy() {
    local load
    load=$(cut -d " " -f 1 /proc/loadavg)
    if [ "$(calc %d "$load > 0.5")" = 1 ]; then
        say "bench: other work is running (load average $load): rates and latencies will look worse than they are"
    fi
}

# ---- processes ----

# start_server LOG COMMAND …: on the server's core; dies with us. Sets pid.
start_server() {
    local log=$1
    shift
    taskset -c "$server_core" setpriv --pdeathsig KILL "$@" >>"$log" 2>&1 & # no function here: pid must be the server's
    pid=$!
    running+=("$pid")
}

stop_server() {
    kill "$1" 2>/dev/null || true
    wait "$1" || fail "a server ended with $?"
}

stop_all() {
    local one
    for one in "${running[@]}"; do
        kill -KILL "$one" 2>/dev/null || true
    done
}

# ticks PID …: user and system time so far, in clock ticks.
ticks() {
    local one
    for one in "$@"; do
        cat "/proc/$one/stat"
    done | awk '{ n += $14 + $15 } END { print n }'
}

rss_kib() { awk '/^Rss:/ { print $2 }' "/proc/$1/smaps_rollup"; }

# http_get PORT PATH: status line, head and body.
http_get() {
    local connection
    exec {connection}<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&"$connection"
    cat <&"$connection"
    exec {connection}>&-
}

# await PORT PATH PID: until it answers 2xx.
await() {
    local i
    for i in {1..500}; do
        if [[ $(http_get "$1" "$2" 2>/dev/null) == 'HTTP/1.1 2'* ]]; then
            return 0
        fi
        kill -0 "$3" 2>/dev/null || break
        sleep 0.02
    done
    tail -n 20 "$work"/*.log >&2
    fail "a server did not get ready ($i looks)"
}

# ---- the yardstick ----

# start_nginx PAD-BYTES: sets nginx_pid; ports stay the same for the whole run, since the gateway's configuration names one.
start_nginx() {
    local pad
    if [ -z "${nginx_port:-}" ]; then
        pick_port && nginx_port=$port
        pick_port && forge_port=$port
    fi
    pad=$(printf '%*s' "$1" '' | tr ' ' x)
    sed -e "s|@DIR@|$work|; s|@PORT@|$nginx_port|; s|@FORGE_PORT@|$forge_port|; s|@PAD@|$pad|" "$root/tests/bench/nginx.conf" >"$work/nginx.conf"
    start_server "$work/nginx.log" nginx -p "$work" -c "$work/nginx.conf"
    nginx_pid=$pid
    await "$nginx_port" / "$nginx_pid"
}

# ---- the gateway ----

# write_config DIR [PROVIDER-PORT]: configuration, key and secret of a gateway whose state lives in DIR. Sets gateway_port and admin_port.
write_config() {
    local dir=$1
    mkdir -p "$dir/policy"
    pick_port && gateway_port=$port
    pick_port && admin_port=$port
    echo "known to nobody, since no provider here asks" >"$dir/secret"
    chmod 600 "$dir/secret"
    "$root/build/repogate" keygen session --out "$dir/session.key" >/dev/null
    "$root/build/repogate" keygen assertion --out "$dir/assertion.key" >/dev/null
    cat >"$dir/repogate.yaml" <<EOT
server:
  listen: 127.0.0.1:$gateway_port
  admin_listen: 127.0.0.1:$admin_port
  public_url: https://dev.example.org
  threads: 1
oidc:
  issuer: http://127.0.0.1:${2:-1}/application/o/repogate/
  client_secret_file: $dir/secret
session:
  path: $dir/sessions.db
  key_file: $dir/session.key
assertion:
  key_file: $dir/assertion.key
policy:
  dir: $root/policies
  state_dir: $dir/policy
audit:
  path: $dir/audit.jsonl
  mode: written
forges:
  github: {kind: github, url: "http://127.0.0.1:$forge_port"}
workspace:
  driver: static
  url: http://127.0.0.1:1
  mode: path
  single_trust: true
EOT
}

# start_gateway DIR: as write_config left it. Sets gateway_pid.
start_gateway() {
    start_server "$1/gateway.log" "$root/build/repogate" serve --config "$1/repogate.yaml"
    gateway_pid=$pid
    answers=0
    await "$admin_port" /readyz "$gateway_pid"
}

# metric NAME: the sum over its labels.
metric() { http_get "$admin_port" /metrics | awk -v name="$1" '$1 ~ "^" name "({|$)" { n += $2 } END { print n + 0 }'; }

# check_audit DIR: one line for each decision, one decision for each answer.
check_audit() {
    local decisions n_lines
    sleep 0.3
    decisions=$(metric repogate_decisions_total)
    n_lines=$(grep -c '"type":"decision"' "$1/audit.jsonl" || true)
    [ "$n_lines" = "$decisions" ] || fail "$decisions decisions, but $n_lines audit lines"
    [ "$decisions" = "$answers" ] || fail "$answers answers, but $decisions decisions"
    say "  audit: $n_lines lines for $answers answers"
}

# ---- load ----

# flood PORT SECONDS REQUESTS STATUS PID …: sets rate (answers a second), busy (per cent of the servers' core), cost_us (of the servers' time an answer).
flood() {
    local us n before spent
    before=$(ticks "${@:5}")
    paced "$1" "$3" "$4" 0 "$2"
    spent=$(calc %.2f "($(ticks "${@:5}") - $before) / $(getconf CLK_TCK)")
    n=$paced_n us=$paced_us
    rate=$(calc %.0f "$n * 1e6 / $us")
    busy=$(calc %.0f "100 * $spent * 1e6 / $us")
    cost_us=$(calc %.1f "$spent * 1e6 / $n")
}

# paced PORT REQUESTS STATUS [RATE SECONDS]: sets paced_n, paced_us, p50_us, p99_us, p999_us, max_us.
paced() {
    local out word bad
    out=$(on_load_core "$programs/paced" "$1" "$2" "$3" "$CONNECTIONS" "${@:4}")
    read -r word paced_n bad paced_us p50_us p99_us p999_us max_us <<<"$out" || fail "$word: $out"
    [ "$bad" = 0 ] || fail "$bad of $paced_n answers had another status than $3"
    answers=$((answers + paced_n))
}
