# shellcheck shell=bash disable=SC2154
# What others do with the same records on the same machine, and Atoll beside them: fastText (Debian's) and Vowpal
# Wabbit's daemon (PyPI's). Sourced by bench/run behind bench/common.sh. What cannot be run is said and left out.

peer_folder=${ATOLL_CACHE_DIR:-$HOME/.cache/atoll}/peers
# What a model of Atoll reads of a text: words, pairs of them, 3 to 5 characters, in 2^20 buckets.
same_features=(-wordNgrams 2 -minn 3 -maxn 5 -bucket 1048576)

# The same texts and labels as peers want them.
make_peer_streams() {
    awk -v fasttext="$folder/fasttext.txt" -v text_file="$folder/texts.txt" -v vw="$folder/vw.txt" \
        -v vw_asked="$folder/vw-asked.txt" '
        function between(before, after,    rest) {
            rest = substr($0, index($0, before) + length(before))
            return substr(rest, 1, index(rest, after) - 1)
        }
        {
            text = between("\"text\":\"", "\",\"label\":\"")
            label = between("\",\"label\":\"", "\"")
            gsub(/\\"/, "\"", text)
            gsub(/\\\\/, "\\", text)
            if (!(label in numbers))
                numbers[label] = ++labels
            learned = FNR == NR
            print (learned ? "__label__" label " " : "") text > (learned ? fasttext : text_file)
            gsub(/[|:]/, " ", text) # these part features in the input of Vowpal Wabbit
            print (learned ? numbers[label] : "") " | " text > (learned ? vw : vw_asked)
        }
        END { print labels }
    ' "$folder/stream.ndjson" "$folder/asked.ndjson" > "$folder/labels"
}

# Seconds that a command takes.
seconds_of() {
    local began=${EPOCHREALTIME/./}
    "$@" > /dev/null 2>> "$folder/log" || die "$1 failed"
    calculate "(${EPOCHREALTIME/./} - $began) / 1e6"
}

# ---- fastText ----

# Learning is timed as a whole. Predicting is timed without loading the model, many times over: NAME OPTION...
measure_fasttext() {
    local name=$1 loading copies=$((10 * records / asked + 1)) copy texts=$folder/texts-copied.txt
    shift
    note "fasttext_learn_$name" "$(calculate "$records / $(seconds_of fasttext supervised \
        -input "$folder/fasttext.txt" -output "$folder/fasttext" -epoch 1 -thread 2 "$@")")"
    [[ -s $texts ]] || for ((copy = 0; copy < copies; copy++)); do cat "$folder/texts.txt"; done > "$texts"
    head -n 1 "$texts" > "$folder/text1.txt"
    loading=$(seconds_of fasttext predict "$folder/fasttext.bin" "$folder/text1.txt")
    note "fasttext_predict_$name" "$(calculate "$copies * $asked / ($(seconds_of fasttext predict \
        "$folder/fasttext.bin" "$texts") - $loading)")"
    rm -f "$folder"/fasttext.{bin,vec}
}

# ---- Vowpal Wabbit ----

# The wheel brings the library and no program; this is the program's daemon all the same.
vw() { PYTHONPATH=$peer_folder/vowpalwabbit exec python3 -c '
import sys, pylibvw
vw = pylibvw.vw(sys.argv[1:])
vw.run_parser()
vw.finish()' "$@"; }

has_vw() { (vw --quiet --noop -d /dev/null) > /dev/null 2>&1 && in_own_network true 2> /dev/null; }

# The daemon listens on all interfaces, so it gets a network of its own that has the loopback alone; whatever is left of
# it ends with the command.
in_own_network() {
    unshare --net --map-root-user --pid --fork --kill-child bash -euc 'ip link set lo up; "$@"' - "$@"
}

# It forks a process for each connection and answers one line with one.
vw_requests_per_s() {
    local try model=$1 lines=$2 port=$3
    (vw --quiet -t -i "$model" --daemon --foreground --num_children 8 --port 0 --port_file "$port") >&2 &
    for ((try = 0; try < 1000; try++)); do
        [[ ! -s $port ]] || break
        sleep 0.01
    done
    "$bin/load" --lines "$(< "$port")" --file "$lines" --connections 8 --seconds "$seconds"
}

measure_vw() {
    local model=$folder/vw.model port=$folder/vw.port
    (vw --quiet --oaa "$(< "$folder/labels")" -b 22 -d "$folder/vw.txt" -f "$model") 2>> "$folder/log"
    rm -f "$port"
    note vw_rate "$(export -f vw vw_requests_per_s && export bin seconds peer_folder &&
        in_own_network vw_requests_per_s "$model" "$folder/vw-asked.txt" "$port" 2>> "$folder/log" |
        field requests_per_s)"
}

# ---- Atoll beside them ----

measure_singly() {
    local atoll_url single=$folder/single connections
    for connections in 1 8 32 64; do
        load --connections "$connections" --seconds "$seconds" > "$single"
        note "single_rate_$connections" "$(field requests_per_s < "$single")"
        note "single_p99_$connections" "$(field p99_ms < "$single")"
    done
    load --file "$folder/stream.ndjson" --ingest 1000 --wait --seconds $((seconds + 2)) > /dev/null &
    feeder=$!
    sleep 0.5
    load --connections 1 --seconds "$seconds" > "$single"
    wait "$feeder" || die "the second client failed"
    feeder=
    note busy_single_p99 "$(field p99_ms < "$single")"
    atoll_url=$url
    start_bare
    note bare_rate_8 "$(load --connections 8 --seconds "$seconds" | field requests_per_s)"
    stop_bare
    url=$atoll_url
}

measure_peer_round() {
    start_server
    note learn_rate "$(load --file "$folder/stream.ndjson" --ingest 1000 --wait | field records_per_s)"
    if command -v fasttext > /dev/null; then
        measure_fasttext words
        measure_fasttext same "${same_features[@]}"
    fi
    stop_server
    start_server --workers 1
    note worker_rate "$(load --predict-batch 1000 --seconds "$seconds" | field records_per_s)"
    stop_server
    start_server
    measure_singly
    has_vw && measure_vw
    kill_server
    rm -rf "$folder/store"
}

measure_peers() {
    make_peer_streams
    for ((round = 1; round <= rounds; round++)); do
        say "peers, round $round of $rounds: $records records"
        measure_peer_round
    done
}

report_peers() {
    local name
    local -A reads=([words]=words [same]="what Atoll reads")
    head_row "beside it"
    for name in words same; do
        if ! has "fasttext_predict_$name"; then
            say "fastText is not here: nothing stands beside learning and predicting"
            break
        fi
        row "predict, NDJSON, one worker" "$(value worker_rate)" records/s \
            "fasttext predict, reading ${reads[$name]}" "$(value "fasttext_predict_$name")" 0.6
        row "learn, HTTP, durable, replayed" "$(value learn_rate)" records/s \
            "fasttext supervised, ${reads[$name]}" "$(value "fasttext_learn_$name")" 0.35
    done
    row "predict singly, 8 connections" "$(value single_rate_8)" requests/s \
        "bare HTTP answers" "$(value bare_rate_8)" 0.15
    if has vw_rate; then
        row "predict singly, 8 connections, lines" "$(value single_rate_8)" requests/s "Vowpal Wabbit's daemon" \
            "$(value vw_rate)" 0.25
    else
        say "Vowpal Wabbit or a network of its own is not here: no daemon stands beside single requests"
    fi
    row "p99 of one connection while ingesting" "$(value busy_single_p99)" ms "when idle" "$(value single_p99_1)" "<=2"
    for name in 32 64; do
        row "predict singly, $name connections" "$(value "single_rate_$name")" requests/s "8 connections" \
            "$(value single_rate_8)"
    done
}
