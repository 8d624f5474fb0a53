#!/usr/bin/env bash
# A service's day, through the client and curl: make a model, stream records into it, ask it, look into it, restart it,
# and get the same answers again.
set -euo pipefail
binary=${ATOLL_BINARY:?}
stream=${ATOLL_SOURCE_DIR:?}/data/atoll-stream.ndjson
folder=$(mktemp -d)
server=

end() {
    [[ -z $server ]] || kill -KILL "$server" 2> /dev/null || true
    rm -rf "$folder"
}
trap end EXIT

fail() {
    printf 'serve.sh: %s\n' "$*" >&2
    tail -n 20 "$folder/log" >&2 || true
    exit 1
}

# Start the server and set ATOLL_URL to where it listens.
start() {
    local line
    exec {announcements}< <(exec "$binary" serve --data-dir "$folder/data" --listen 127.0.0.1:0 2>> "$folder/log")
    server=$!
    while read -r -t 60 -u "$announcements" line; do
        [[ $line =~ ^listening\ on\ (http://127\.0\.0\.1:[0-9]+)$ ]] || continue
        export ATOLL_URL=${BASH_REMATCH[1]}
        return
    done
    fail "the server does not listen"
}

# End the server as an operator does; it has to leave cleanly.
stop() {
    local status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=
    exec {announcements}<&-
    ((status == 0)) || fail "the server ended with $status"
}

expect() {
    grep -q -e "$1" <<< "$2" || fail "no '$1' in: $2"
}

# The share of lines, in percent, whose first label in one file is the same as in the other.
agreement() {
    paste -d '\n' "$1" "$2" | sed -n 's/.*[{,]"label":"\([^"]*\)".*/\1/p; t; s/.*/?/p' |
        awk 'NR % 2 { wanted = $0; next } { right += $0 == wanted } END { printf "%d\n", 200 * right / NR }'
}

without_prediction_ids() { sed 's/"prediction_id":"[^"]*",//g'; }
first_label_only() { sed 's/"labels":.*//'; }

have_curl() { command -v curl > /dev/null; }

start
"$binary" models > /dev/null

if have_curl; then
    for probe in healthz livez readyz; do
        curl -sSf "$ATOLL_URL/$probe" > /dev/null || fail "$probe"
    done
    expect '"version"' "$(curl -sSf -X PUT -H 'Content-Type: application/json' -d '{}' "$ATOLL_URL/v1/models/default")"
    [[ $(curl -s -o /dev/null -w '%{http_code}' "$ATOLL_URL/v1/models/nobody") == 404 ]] || fail "an unknown model"
fi

records=$(grep -c . "$stream")
expect "accepted $records, rejected 0" "$("$binary" ingest --wait "$stream")"
expect "records  *$records\$" "$("$binary" stats)"
expect 'default' "$("$binary" models)"
expect 'shared' "$("$binary" experts)"
expect 'prune\|archived' "$("$binary" prune --dry-run)"

answer=$("$binary" predict 'The dishwasher is dead, no lights, nothing happens')
expect 'score' "$answer"
expect 'neighbours' "$answer"

"$binary" predict --json - < "$stream" > "$folder/answers"
[[ $(wc -l < "$folder/answers") == "$records" ]] || fail "not every record got an answer"
right=$(agreement "$stream" <(first_label_only < "$folder/answers"))
((right >= 70)) || fail "only $right % of what it learned is right"

if have_curl; then
    expect '^atoll_' "$(curl -sSf "$ATOLL_URL/metrics")"
fi

# Bad lines are named by their number in the file, and the others taken.
printf '%s\n' '{"text":"good one","label":"x"}' 'nonsense' '{"text":"no label"}' > "$folder/bad"
if report=$("$binary" ingest --model other --wait "$folder/bad" 2> "$folder/complaints"); then
    fail "rejected lines are no failure"
fi
expect 'accepted 1, rejected 2' "$report"
expect 'bad:2: invalid_json' "$(< "$folder/complaints")"
expect 'bad:3: missing_label' "$(< "$folder/complaints")"

without_prediction_ids < "$folder/answers" > "$folder/before"
stop
start
"$binary" predict --json - < "$stream" | without_prediction_ids > "$folder/after"
cmp "$folder/before" "$folder/after" || fail "other answers after a restart"
expect "records  *$records\$" "$("$binary" stats)"

# The demonstration, without a terminal.
"$binary" demo --model show --stream "$stream" > "$folder/demo" || fail "the demonstration"
expect 'over all: [0-9]* of [0-9]* right' "$(< "$folder/demo")"
expect 'neighbours' "$(< "$folder/demo")"
if grep -q $'[\033\r]' "$folder/demo"; then
    fail "control codes without a terminal"
fi

status=0
"$binary" no-such-command 2> /dev/null || status=$?
((status == 2)) || fail "an unknown command ends with $status"
stop
if "$binary" stats 2> /dev/null; then
    fail "stats of a server that is gone"
fi
