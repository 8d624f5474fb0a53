# shellcheck shell=bash disable=SC2154
# What bench/run and bench/peers.sh share: a server of their own in a folder of its own, requests, medians, results.
# Sourced with the mode, rounds, seconds and every set; sets the traps.

say() { printf '%s\n' "$*" >&2; }
die() { say "bench: $*"; exit 1; }

bin=$PWD/build/bench
cores=$(nproc)
folder=$(mktemp -d)
server='' feeder='' bare=''

end() {
    local pid
    for pid in $feeder $bare $server; do
        kill -KILL "$pid" 2> /dev/null || true
    done
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- numbers ----

now_ms() { printf '%s\n' "$((${EPOCHREALTIME/./} / 1000))"; }

# The value of a number in a flat JSON object on standard input.
field() { sed -n "s/.*[{,]\"$1\":\(-\{0,1\}[0-9.e+-]*\).*/\1/p"; }

median() { tr ' ' '\n' <<< "$*" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

calculate() { awk "BEGIN { printf \"%.6g\n\", $1 }"; }

# Values by name, one for each round: note NAME VALUE. What could not be measured is said and left out.
declare -A noted=()
note() {
    if [[ -n $2 ]]; then
        noted[$1]="${noted[$1]:+${noted[$1]} }$2"
    else
        say "no value for $1"
    fi
}
value() { [[ -z ${noted[$1]:-} ]] || median "${noted[$1]}"; }
has() { [[ -n ${noted[$1]:-} ]]; }

# ---- HTTP, as far as bash goes ----

# Print the body of the reply; fail where its status is not 200.
http() {
    local method=$1 path=$2 body=${3:-} host=${url#http://} line status
    exec {connection}<> "/dev/tcp/${host%:*}/${host##*:}"
    printf '%s\r\n' "$method $path HTTP/1.1" "Host: $host" "Connection: close" "Content-Type: application/json" \
        "Content-Length: ${#body}" "" >&"$connection"
    printf '%s' "$body" >&"$connection"
    read -r -t 60 -u "$connection" status
    while read -r -t 60 -u "$connection" line && [[ $line != $'\r' ]]; do :; done
    cat <&"$connection"
    exec {connection}>&-
    [[ $status == *" 200 "* ]]
}

stat_of() { http GET /v1/models/bench/stats | field "$1"; }

# Start a program that says where it listens; sets `pid` and `url`.
listen() {
    local line announcements
    exec {announcements}< <(exec "$@" 2>> "$folder/log")
    pid=$!
    while read -r -t 120 -u "$announcements" line; do
        [[ $line =~ ^listening\ on\ (http://127\.0\.0\.1:[0-9]+)$ ]] || continue
        url=${BASH_REMATCH[1]}
        return
    done
    tail -n 20 "$folder/log" >&2
    die "$1 does not listen"
}

# Further arguments go to `atoll serve`.
start_server() {
    local try
    listen build/atoll serve --data-dir "$folder/store" --listen 127.0.0.1:0 "$@"
    server=$pid
    for ((try = 0; try < 6000; try++)); do
        (http GET /readyz > /dev/null) 2> /dev/null && return
        sleep 0.005
    done
    die "the server does not become ready"
}

kill_server() {
    kill -KILL "$server"
    wait "$server" 2> /dev/null || true
    server=
}

stop_server() {
    kill -TERM "$server"
    wait "$server" || die "the server did not end well"
    server=
}

# Asks what is not learned, unless told otherwise.
load() { "$bin/load" --url "$url" --model bench --file "$folder/asked.ndjson" "$@"; }

# Start the server that only answers, with as many bytes as the model would; sets `url`.
start_bare() {
    local answer
    answer=$(http POST /v1/models/bench/predict "{\"records\":[$(head -n 1 "$folder/asked.ndjson")]}")
    listen "$bin/bare_http" "${#answer}"
    bare=$pid
}

stop_bare() {
    kill -TERM "$bare"
    wait "$bare"
    bare=
}

# ---- streams ----

# stream.ndjson to learn, and asked.ndjson, every 16th record of the same, to ask: texts that were learned are answered
# more surely, and so in less time.
make_streams() {
    say "making the stream"
    if ! command -v apt-cache > /dev/null || ! sh data/packages.sh > "$folder/all.ndjson" ||
        [[ ! -s $folder/all.ndjson ]]; then
        say "apt knows no packages here, so the small stream in data/ is repeated"
        awk '{ line[NR] = $0 }
            END { for (copy = 1; copy <= 100; copy++) for (i = 1; i <= NR; i++) {
                text = line[i]
                sub(/"text":"/, "&" copy " ", text)
                print text
            } }' data/atoll-stream.ndjson > "$folder/all.ndjson"
    fi
    awk -v every="$every" -v asked="$folder/asked.ndjson" 'NR % 16 == 1 { print > asked; next } NR % every == 0' \
        "$folder/all.ndjson" > "$folder/stream.ndjson"
    rm "$folder/all.ndjson"
    records=$(wc -l < "$folder/stream.ndjson")
    asked=$(wc -l < "$folder/asked.ndjson")
}

# ---- the report ----

results=bench/results.json rows=()

head_row() {
    printf '\n%-50s %10s %-10s %-42s %10s %8s %6s\n' what measured unit "$1" measured ratio bar
}

# row WHAT VALUE UNIT [BESIDE VALUE [BAR]]: the ratio is value over what stands beside it. No value, no row.
row() {
    local ratio=
    [[ -n $2 ]] || return 0
    if [[ -n ${5:-} ]]; then
        ratio=$(awk -v a="$2" -v b="$5" 'BEGIN { if (b != 0) printf "%.3g", a / b }')
    fi
    printf '%-50s %10s %-10s %-42s %10s %8s %6s\n' "$1" "$(short "$2")" "$3" "${4:-}" "$(short "${5:-}")" "$ratio" \
        "${6:-}" | sed 's/ *$//'
    rows+=("$(printf '{"what":"%s","value":%s,"unit":"%s","limit":"%s","limit_value":%s,"ratio":%s,"bar":"%s"}' \
        "$1" "$2" "$3" "${4:-}" "${5:-null}" "${ratio:-null}" "${6:-}")")
}

short() {
    [[ -z $1 ]] || awk -v x="$1" 'BEGIN { printf(x >= 1000 || x == int(x) ? "%d" : x >= 10 ? "%.1f" : "%.3g", x) }'
}

write_results() {
    local cpu commit
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | tr -d '\\"')
    commit=$(git rev-parse --short HEAD 2> /dev/null || true)
    {
        printf '{"mode":"%s","date":"%s","commit":"%s","cpu":"%s","cores":%d,"records":%d,"rounds":%d,\n"rows":[\n' \
            "$mode" "$(date -u +%FT%TZ)" "$commit" "$cpu" "$cores" "$records" "$rounds"
        (IFS=$'\n'; printf '%s' "${rows[*]}" | sed 's/$/,/; $s/,$//')
        printf '\n]}\n'
    } > "$results"
    say "written to $results"
}

# Beside each row of an earlier run what it is now: compare EARLIER LATER.
compare() {
    awk '
        function text(key,    at, rest) {
            at = index($0, "\"" key "\":\"")
            rest = substr($0, at + length(key) + 4)
            return at ? substr(rest, 1, index(rest, "\"") - 1) : ""
        }
        function number(key,    at) {
            at = index($0, "\"" key "\":")
            return at ? substr($0, at + length(key) + 3) + 0 : ""
        }
        FNR == 1 { file++; commit[file] = text("commit"); mode[file] = text("mode"); cpu[file] = text("cpu") }
        !/"what":/ { next }
        { sub(/^\{"what":"  /, "{\"what\":\"" main "  "); what = text("what"); if (what !~ /  /) main = what }
        { what = what " / " text("limit") }
        file == 1 { before[what] = number("value"); ratio[what] = number("ratio"); next }
        what in before {
            if (!header++) {
                if (mode[1] != mode[2] || cpu[1] != cpu[2])
                    print "\nThe runs are of different kinds or machines."
                printf "\n%-70s %12s %12s %8s %10s %10s\n", "what", commit[1], commit[2], "times", "ratio", "ratio"
            }
            now = number("value")
            printf "%-70s %12.6g %12.6g %8s %10.3g %10.3g\n", what, before[what], now,
                before[what] ? sprintf("%.3g", now / before[what]) : "", ratio[what], number("ratio")
        }
    ' "$1" "$2"
}
