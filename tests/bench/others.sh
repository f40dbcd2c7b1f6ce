# shellcheck shell=bash disable=SC2034,SC2154 # names are shared among the files of scripts/bench
# policy_seed_us, bearer_first_ratio, sessions_100k_mib, logins_per_minute, start_ms.

readonly SESSIONS=100000 STARTS=11 LOGIN_ROUND_S=4

measure_policy() {
    local times
    say "policy_seed_us: $ROUNDS rounds of 300,000 evaluations"
    read -r -a times < <(on_server_core "$programs/policy_seed" "$root/policies" "$ROUNDS")
    [ "${times[0]}" = policy_seed ] || fail "policy_seed said: ${times[*]}"
    times=("${times[@]:1}")
    report policy_seed_us "$(calc %.3f "$(median "${times[@]}") / 1000")" us 'most 2' "rounds $(spread "${times[@]}") ns"
}

# openssl_verifies rsa2048|ecdsap256: verifications a second.
openssl_verifies() {
    local out
    out=$(on_server_core openssl speed -seconds 1 "$1" 2>/dev/null | awk 'END { print $NF }')
    [ -n "$out" ] || fail "openssl speed $1 said nothing"
    echo "$out"
}

# bearer_rounds ALGORITHM OPENSSL-NAME: sets bearer_ratio and bearer_detail.
bearer_rounds() {
    local i word theirs verified accepted ratios=() rates=() accepts=()
    "$programs/bearer_first" make "$1" "$work/$1.tokens"
    for ((i = 1; i <= ROUNDS; i++)); do
        theirs=$(openssl_verifies "$2")
        read -r word verified accepted < <(on_server_core "$programs/bearer_first" time "$1" "$work/$1.tokens") || fail "$word bearer_first failed"
        say "  round $i: $1 verified $verified/s, accepted $accepted/s; openssl $2 $theirs/s"
        ratios+=("$(calc %.3f "$verified / $theirs")") rates+=("$verified") accepts+=("$(calc %.3f "$accepted / $theirs")")
    done
    bearer_ratio=$(median "${ratios[@]}")
    bearer_detail="$1 $bearer_ratio ($(median "${rates[@]}")/s; with principal and memory $(median "${accepts[@]}"))"
}

measure_bearer() {
    local ratio detail
    say "bearer_first_ratio: $ROUNDS rounds of 12,000 tokens"
    bearer_rounds RS256 rsa2048
    ratio=$bearer_ratio detail=$bearer_detail
    bearer_rounds ES256 ecdsap256
    ratio=$(printf '%s\n' "$ratio" "$bearer_ratio" | sort -g | head -n 1)
    report bearer_first_ratio "$ratio" ratio 'least 0.7' "$detail, $bearer_detail"
}

# memory_after DIR REQUESTS STATUS: resident KiB of a gateway after those requests; sets rss and cached.
memory_after() {
    start_gateway "$1"
    paced "$gateway_port" "$2" "$3"
    check_audit "$1"
    rss=$(rss_kib "$gateway_pid")
    cached=$(metric repogate_sessions_cached)
    stop_server "$gateway_pid"
    rm -rf "$1"
}

measure_sessions() {
    local empty
    say "sessions_100k_mib: $SESSIONS requests without a session, then as many sessions, each used once"
    start_nginx 1
    write_config "$work/full"
    "$programs/make_sessions" "$work/full/sessions.db" "$work/full/session.key" $SESSIONS $SESSIONS >"$work/full.requests"
    local full_port=$gateway_port full_admin_port=$admin_port
    grep -v '^Cookie: ' "$work/full.requests" >"$work/empty.requests"
    write_config "$work/empty"
    memory_after "$work/empty" "$work/empty.requests" 401
    empty=$rss
    gateway_port=$full_port admin_port=$full_admin_port
    memory_after "$work/full" "$work/full.requests" 200
    stop_server "$nginx_pid"
    rm -f "$work/full.requests" "$work/empty.requests"
    report sessions_100k_mib "$(calc %.1f "($rss - $empty) / 1024")" MiB 'most 100' \
        "$(calc %.1f "$rss / 1024") MiB against $(calc %.1f "$empty / 1024") MiB; $cached sessions in memory, all in the store"
}

# One browser's logins follow from another's in no way, so what is counted is what the gateway, SQLite and the disk can do.
measure_logins() {
    local word n bad us provider before spent n_lines total=0 rates=() busy
    say "logins_per_minute: $ROUNDS rounds of $LOGIN_ROUND_S s, 64 browsers at a time, SQLite below $work"
    forge_port=${forge_port:-1}
    pick_port && provider=$port
    write_config "$work/logins" "$provider"
    start_gateway "$work/logins"
    before=$(ticks "$gateway_pid")
    while read -r word n bad us; do
        if [ "$word" = sessions ]; then
            [ "$n" = "$bad" ] || fail "of $n sessions only $bad were known afterwards"
            continue
        fi
        [ "$word" = logins ] || fail "logins said: $word $n $bad $us"
        [ "$bad" = 0 ] || fail "$bad logins of $((n + bad)) failed"
        rates+=("$(calc %.0f "$n * 60e6 / $us")") total=$((total + n))
        say "  $n logins in $(calc %.1f "$us / 1e6") s, none failed"
    done < <(on_load_core node "$root/tests/bench/logins.mjs" "$provider" "$gateway_port" "$ROUNDS" "$LOGIN_ROUND_S" || echo failed)
    [ "${#rates[@]}" = "$ROUNDS" ] || fail "only ${#rates[@]} rounds came to an end"
    spent=$(calc %.2f "($(ticks "$gateway_pid") - $before) / $(getconf CLK_TCK)")
    busy=$(calc %.0f "100 * $spent / ($ROUNDS * $LOGIN_ROUND_S)")
    n_lines=$(grep -c '"type":"login".*"outcome":"ok"' "$work/logins/audit.jsonl")
    [ "$n_lines" -ge "$total" ] || fail "$total logins, but $n_lines audit lines"
    stop_server "$gateway_pid"
    rm -rf "$work/logins"
    report logins_per_minute "$(median "${rates[@]}")" logins 'least 10000' "$total in all, none failed; rounds $(spread "${rates[@]}"); core $busy % busy"
}

measure_start() {
    local i word ms times=()
    say "start_ms: $STARTS starts with the seed policy"
    forge_port=${forge_port:-1}
    write_config "$work/start"
    for ((i = 1; i <= STARTS; i++)); do
        read -r word ms < <(on_server_core "$programs/start" "$admin_port" "$root/build/repogate" serve --config "$work/start/repogate.yaml" 2>>"$work/start.log") ||
            fail "$word the gateway did not start: $(tail -n 5 "$work/start.log")"
        times+=("$ms")
    done
    rm -rf "$work/start"
    report start_ms "$(median "${times[@]}")" ms 'most 100' "seed policy; starts $(spread "${times[@]}") ms"
}
