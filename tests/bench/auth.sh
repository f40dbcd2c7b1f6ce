# shellcheck shell=bash disable=SC2034,SC2154 # names are shared among the files of scripts/bench
# auth_nginx_ratio, auth_nginx_p99_ms: decisions over /_repogate/auth/nginx against NGINX that returns 200 and as many bytes of head.

readonly AUTH_SESSIONS=1000 AUTH_REQUESTS=20000 AUTH_WARM_UP_S=1 AUTH_RATE_S=4 AUTH_LATENCY_S=3

# head_bytes PORT REQUESTS N: the median length of the head of the answers to the first N requests.
head_bytes() {
    local connection line n sizes=() LC_ALL=C
    exec {connection}<>"/dev/tcp/127.0.0.1/$1"
    while [ ${#sizes[@]} -lt "$3" ]; do
        while IFS= read -r line; do
            printf '%s\n' "$line"
            [ "$line" != $'\r' ] || break
        done <&4 >&"$connection"
        n=0
        while IFS= read -r line <&"$connection"; do
            n=$((n + ${#line} + 1))
            [ "$line" != $'\r' ] || break
        done
        sizes+=("$n")
    done 4<"$2"
    exec {connection}>&-
    median "${sizes[@]}"
}

prepare_auth() {
    local ours bare
    auth_dir=$work/auth
    auth_requests=$work/auth.requests
    start_nginx 1
    write_config "$auth_dir"
    "$programs/make_sessions" "$auth_dir/sessions.db" "$auth_dir/session.key" $AUTH_SESSIONS $AUTH_REQUESTS >"$auth_requests"
    start_gateway "$auth_dir"
    ours=$(head_bytes "$gateway_port" "$auth_requests" 201)
    answers=$((answers + 201))
    bare=$(head_bytes "$nginx_port" "$auth_requests" 1)
    stop_server "$nginx_pid"
    start_nginx $((ours - bare + 1))
    auth_head=$(head_bytes "$nginx_port" "$auth_requests" 1)
    [ "$auth_head" = "$ours" ] || fail "the yardstick's head has $auth_head bytes, ours $ours"
    flood "$gateway_port" $AUTH_WARM_UP_S "$auth_requests" 200 "$gateway_pid"
}

# One round of each; the order changes with the round, and what was logged is on disk before the other's turn.
auth_round() {
    local who
    for who in $(if [ $(($1 % 2)) = 0 ]; then echo ours theirs; else echo theirs ours; fi); do
        if [ "$who" = ours ]; then
            flood "$gateway_port" $AUTH_RATE_S "$auth_requests" 200 "$gateway_pid"
            ours_rate=$rate ours_busy=$busy ours_cost=$cost_us
            sync -d "$auth_dir/audit.jsonl"
        else
            local ours_answers=$answers
            flood "$nginx_port" $AUTH_RATE_S "$auth_requests" 200 "$nginx_pid"
            theirs_rate=$rate theirs_busy=$busy theirs_cost=$cost_us
            answers=$ours_answers
        fi
    done
    say "  round $1: gateway $ours_rate/s (core $ours_busy % busy, $ours_cost us each), NGINX $theirs_rate/s ($theirs_busy %, $theirs_cost us)"
}

# Rates compare servers only if the servers were what set them.
doubt_about_cores() {
    local least
    least=$(printf '%s\n' "$@" | sort -g | head -n 1)
    if [ "$least" -lt 90 ]; then
        echo "; NOT VALID: a server had only $least % of its core, so something else set its rate"
    fi
}

measure_auth_rate() {
    local i busy_cores=() ratios=() ours=() theirs=() costs=() their_costs=()
    say "auth_nginx_ratio: $ROUNDS rounds, $AUTH_SESSIONS sessions, answers with $auth_head bytes of head"
    for ((i = 1; i <= ROUNDS; i++)); do
        auth_round "$i"
        ratios+=("$(calc %.3f "$ours_rate / $theirs_rate")") ours+=("$ours_rate") theirs+=("$theirs_rate")
        busy_cores+=("$ours_busy" "$theirs_busy")
        costs+=("$ours_cost") their_costs+=("$theirs_cost")
    done
    auth_rate=$(median "${ours[@]}")
    report auth_nginx_ratio "$(median "${ratios[@]}")" ratio 'least 0.7' \
        "$auth_rate/s against $(median "${theirs[@]}")/s; rounds $(spread "${ratios[@]}"); core time $(median "${costs[@]}") against $(median "${their_costs[@]}") us$(doubt_about_cores "${busy_cores[@]}")"
}

measure_auth_latency() {
    local i half ours=() theirs=() medians=()
    half=$(calc %d "$auth_rate / 2")
    say "auth_nginx_p99_ms: $ROUNDS rounds at $half/s"
    for ((i = 1; i <= ROUNDS; i++)); do
        paced "$gateway_port" "$auth_requests" 200 "$half" $AUTH_LATENCY_S
        sync -d "$auth_dir/audit.jsonl"
        ours+=("$p99_us") medians+=("$p50_us")
        say "  round $i: gateway median $p50_us, 99 % $p99_us, 99.9 % $p999_us, worst $max_us us"
        local ours_answers=$answers
        paced "$nginx_port" "$auth_requests" 200 "$half" $AUTH_LATENCY_S
        answers=$ours_answers
        theirs+=("$p99_us")
    done
    report auth_nginx_p99_ms "$(calc %.3f "$(median "${ours[@]}") / 1000")" ms 'most 1' \
        "at $half/s; median $(median "${medians[@]}") us; NGINX's 99 % $(median "${theirs[@]}") us; rounds $(spread "${ours[@]}") us"
}

measure_auth() {
    prepare_auth
    measure_auth_rate
    if wanted auth_nginx_p99_ms; then
        measure_auth_latency
    fi
    check_audit "$auth_dir"
    stop_server "$gateway_pid"
    stop_server "$nginx_pid"
    rm -rf "$auth_dir" "$auth_requests"
}
