# shellcheck shell=bash disable=SC2154
# What a server holds of a model as the system sees it, beside what the model counts (`counted_bytes` of its stats,
# which `budget_bytes` bounds). Sourced by bench/run behind bench/common.sh. Held is anonymous memory, less what the
# server had before there was a model; the pages of the stores' files are the system's cache.

anonymous() { awk '/^Anonymous:/ { print $2 * 1024 }' "/proc/$server/smaps_rollup"; }

# What is held now, and what is counted: note_memory NAME.
note_memory() {
    note "held_$1" "$(calculate "($(anonymous) - $unladen) / 1048576")"
    note "counted_$1" "$(calculate "$(stat_of counted_bytes) / 1048576")"
}

# Until a server that nobody asks has given back what it need not keep.
settle() {
    local try before now=0
    for ((try = 0; try < 60; try++)); do
        before=$now now=$(anonymous)
        [[ $now != "$before" ]] || return 0
        sleep 1
    done
}

# The most held and counted while learning, and the most held for what is counted at the same time.
measure_while_learning() {
    local held counted most=0 most_counted=0 worst=0
    load --file "$folder/stream.ndjson" --ingest 1000 --wait > /dev/null &
    feeder=$!
    while kill -0 "$feeder" 2> /dev/null; do
        held=$(($(anonymous) - unladen))
        counted=$(stat_of counted_bytes 2> /dev/null) || counted=0 # there is no model yet
        if ((counted > 50000000)); then
            worst=$(calculate "($held / $counted > $worst ? $held / $counted : $worst)")
        fi
        ((held <= most)) || most=$held
        ((counted <= most_counted)) || most_counted=$counted
        sleep 0.2
    done
    wait "$feeder" || die "the client failed"
    feeder=
    note held_learning "$(calculate "$most / 1048576")"
    note counted_learning "$(calculate "$most_counted / 1048576")"
    note worst_learning "$worst"
}

measure_memory_round() {
    local unladen
    start_server
    unladen=$(anonymous)
    measure_while_learning
    settle
    note_memory rest
    http PUT /v1/models/bench/schedule '{"min_share":0.05}' > /dev/null
    http POST /v1/models/bench/prune '{}' > /dev/null
    settle
    note_memory pruned
    stop_server
    start_server
    settle
    note_memory restarted
    kill_server
    rm -rf "$folder/store"
}

measure_memory() {
    for ((round = 1; round <= rounds; round++)); do
        say "memory, round $round of $rounds: $records records"
        measure_memory_round
    done
}

report_memory() {
    local name
    local -A at=([learning]="most while learning" [rest]="at rest" [pruned]="after pruning"
        [restarted]="after a restart")
    head_row "counted_bytes"
    for name in learning rest pruned restarted; do
        row "memory held, ${at[$name]}" "$(value "held_$name")" MiB "counted" "$(value "counted_$name")" "<=1.05"
    done
    row "memory held for what is counted at once, at most" "$(value worst_learning)" "" "" "" "<=1.05"
}
