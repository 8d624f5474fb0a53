#!/usr/bin/env bash
# The scripts in data/ give what they promise: the committed stream, and a package index as valid, grouped records.
set -euo pipefail
data=${ATOLL_SOURCE_DIR:?}/data
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$data/make-stream.sh" | cmp - "$data/atoll-stream.ndjson"

printf '%s\n' \
    'Package: zsh' 'Section: shells' 'Description: shell with "lots" of \features' '' \
    'Package: python3-x' 'Section: contrib/python' $'Description-en: X for\tPython \r' ' and more' 'Homepage: none' '' \
    'Package: zsh' 'Section: shells' 'Description: an older one' '' \
    'Package: no-section' 'Description: is left out' '' \
    'Package: odd' 'Section: never-heard-of' 'Description: last' > "$folder/index"
cat > "$folder/expected" << 'END'
{"id":"python3-x","text":"python3-x: X for Python","label":"python","domain":"python"}
{"id":"odd","text":"odd: last","label":"never-heard-of","domain":"system"}
{"id":"zsh","text":"zsh: shell with \"lots\" of \\features","label":"shells","domain":"system"}
END
"$data/packages.sh" --domains "$folder/index" | diff "$folder/expected" -
"$data/packages.sh" "$folder/index" > "$folder/plain"
if grep -q '"domain"' "$folder/plain"; then
    echo "a domain that nobody asked for" >&2
    exit 1
fi
