#!/usr/bin/env bash
# The continual benchmark on the small stream: it measures, the same every time, and says what changed since.
set -euo pipefail
cd "${ATOLL_SOURCE_DIR:?}"

bench=$(dirname "${ATOLL_BINARY:?}")/bench/continual
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    printf 'continual: %s\n' "$*" >&2
    exit 1
}

run() {
    "$bench" --case small --variant mixture --variant "oracle gate" --orders 1 "$@" 2>> "$folder/log" ||
        fail "fails: $(tail -n 3 "$folder/log")"
}

acc_of() {
    sed -n "s/.*\"variant\":\"$2\".*\"acc\":\[\([0-9.]*\),.*/\1/p" "$1"
}

run --out "$folder/first.json" > "$folder/first"
run --out "$folder/second.json" --against "$folder/first.json" > "$folder/second"
grep -q '^small, 200 exemplars, 1 order: mean$' "$folder/first" || fail "no table: $(cat "$folder/first")"
grep -q '^since ' "$folder/second" || fail "nothing is compared"
for variant in mixture "oracle gate"; do
    acc=$(acc_of "$folder/first.json" "$variant")
    awk -v acc="$acc" 'BEGIN { exit !(acc > 0.85 && acc <= 1) }' || fail "$variant: ACC is '$acc'"
    [[ $acc == "$(acc_of "$folder/second.json" "$variant")" ]] || fail "$variant: another ACC the second time"
done
"$bench" --case small --variant mixture --orders 1 --limit 20 --data "$folder/nowhere" --out "$folder/third.json" \
    > "$folder/third" 2>> "$folder/log" || fail "a limit fails"
"$bench" --case clinc-class --data "$folder/nowhere" --out "$folder/none.json" > "$folder/none" 2>> "$folder/log" ||
    fail "missing data fails"
grep -q '^clinc-class, 3000 exemplars: not run, no CLINC150 in ' "$folder/none" || fail "missing data is not told"
if "$bench" --orders 0 > "$folder/usage" 2>&1; then fail "takes no orders"; fi
grep -q '^usage: ' "$folder/usage" || fail "does not tell its usage"
