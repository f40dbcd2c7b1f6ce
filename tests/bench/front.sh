# shellcheck shell=bash disable=SC2034,SC2154 # names are shared among the files of scripts/bench
# front_ratio: NGINX that asks us over auth_request, against the same NGINX that asks an NGINX which returns 200 and as many bytes of head.
# Front and whom it asks share a core.

readonly FRONT_RATE_S=4

# The requests of the workload as a browser sends them: the URL asked about is the request line's.
front_requests() {
    awk '
        /^GET \/_repogate\/auth/ || /^Host: / || /^X-Original-Method: / || /^X-Real-IP: / { next }
        sub(/^X-Original-URL: https:\/\/dev\.example\.org/, "") {
            printf "GET %s HTTP/1.1\r\nHost: dev.example.org\r\n", substr($0, 1, length($0) - 1)
            next
        }
        { print }' "$1"
}

start_front() {
    pick_port && ours_port=$port
    pick_port && theirs_port=$port
    mkdir -p "$work/front"
    printf 'ok' >"$work/front/answer"
    sed -e "s|@NO_CLAIMS@|$root/deploy/nginx/repogate-no-claims.conf|" "$root/tests/bench/front-question.conf" >"$work/front-question.conf"
    sed -e "s|@DIR@|$work|; s|@GATEWAY_PORT@|$gateway_port|; s|@NGINX_PORT@|$nginx_port|; s|@OURS_PORT@|$ours_port|; s|@THEIRS_PORT@|$theirs_port|" \
        "$root/tests/bench/front.conf" >"$work/front.conf"
    start_server "$work/front-nginx.log" nginx -p "$work" -c "$work/front.conf"
    front_pid=$pid
    await "$theirs_port" / "$front_pid"
}

# One round of each; the order changes with the round.
front_round() {
    local who ours_answers
    for who in $(if [ $(($1 % 2)) = 0 ]; then echo ours theirs; else echo theirs ours; fi); do
        if [ "$who" = ours ]; then
            flood "$ours_port" "$FRONT_RATE_S" "$work/front.requests" 200 "$front_pid" "$gateway_pid"
            ours_rate=$rate ours_busy=$busy ours_cost=$cost_us
            sync -d "$auth_dir/audit.jsonl"
        else
            ours_answers=$answers
            flood "$theirs_port" "$FRONT_RATE_S" "$work/front.requests" 200 "$front_pid" "$nginx_pid"
            theirs_rate=$rate theirs_busy=$busy theirs_cost=$cost_us
            answers=$ours_answers
        fi
    done
    say "  round $1: asking us $ours_rate/s (core $ours_busy % busy, $ours_cost us each), asking NGINX $theirs_rate/s ($theirs_busy %, $theirs_cost us)"
}

measure_front() {
    local i busy_cores=() ratios=() ours=() theirs=() costs=() their_costs=()
    prepare_auth
    start_front
    front_requests "$auth_requests" >"$work/front.requests"
    say "front_ratio: $ROUNDS rounds, $AUTH_SESSIONS sessions, answers with $auth_head bytes of head"
    flood "$ours_port" "$AUTH_WARM_UP_S" "$work/front.requests" 200 "$front_pid" "$gateway_pid"
    for ((i = 1; i <= ROUNDS; i++)); do
        front_round "$i"
        ratios+=("$(calc %.3f "$ours_rate / $theirs_rate")") ours+=("$ours_rate") theirs+=("$theirs_rate")
        busy_cores+=("$ours_busy" "$theirs_busy")
        costs+=("$ours_cost") their_costs+=("$theirs_cost")
    done
    report front_ratio "$(median "${ratios[@]}")" ratio 'least 0.6' \
        "$(median "${ours[@]}")/s against $(median "${theirs[@]}")/s; rounds $(spread "${ratios[@]}"); core time $(median "${costs[@]}") against $(median "${their_costs[@]}") us$(doubt_about_cores "${busy_cores[@]}")"
    check_audit "$auth_dir"
    stop_server "$front_pid"
    stop_server "$gateway_pid"
    stop_server "$nginx_pid"
    rm -rf "$auth_dir" "$auth_requests" "$work/front.requests"
}
