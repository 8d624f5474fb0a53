#!/usr/bin/env bash
# Make FAISS for this processor once and keep it in a cache outside the tree; print the folder that holds it, or nothing
# where the system's own FAISS is to be used: on a processor without AVX2, and where there is no apt.
#
# Debian's libfaiss-dev is a library for the oldest x86-64 processors, whose searches take two to eight times as long.
# So this fetches Debian's source package with apt (which checks the archive's signature; the system's own configuration
# and lists stay untouched, and root is not needed) and compiles it for AVX2.
#
# The folder has include/faiss/… and lib/libfaiss.a. Its name holds a hash of all that shaped it: this file, the
# version, the compiler. It appears by one rename, under a lock, so it is either whole or absent.
#
# ATOLL_CACHE_DIR      where the cache lies (default: $XDG_CACHE_HOME/atoll or ~/.cache/atoll)
# ATOLL_FAISS_VARIANT  avx2 or packaged (default: what the processor can run)
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() { say "faiss: $*"; exit 1; }

self=${BASH_SOURCE[0]}
cxx=${CXX:-c++}
cache=${ATOLL_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/atoll}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

cpu_has() {
    local flag
    for flag in "$@"; do
        grep -qw -m 1 "$flag" /proc/cpuinfo || return 1
    done
}

# The source version behind the packaged library: a rebuilt binary (1.7.3-2+b1) names it in its Source field.
source_version() {
    apt-cache show --no-all-versions libfaiss-dev 2>/dev/null | awk '
        $1 == "Version:" { version = $2 }
        $1 == "Source:" && $3 ~ /^\(/ { version = substr($3, 2, length($3) - 2) }
        END { sub(/\+b[0-9]+$/, "", version); print version }'
}

# Fetch the source package into $1 with lists and caches of its own. The mirrors are those the system uses.
fetch_source() {
    local dir=$1 version=$2 signed=
    [[ -r $keyring ]] && signed="[signed-by=$keyring] "
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)' 'Created-By: Packages' | sort -u |
        awk -F '|' -v signed="$signed" '
            $1 == "Debian" && $2 == "main" { print "deb-src " signed $3 " " $4 " " $2 }' > "$dir/sources.list"
    [[ -s $dir/sources.list ]] || die "apt knows no Debian mirror; run apt-get update"
    chmod 755 "$dir"
    if [[ $(id -u) == 0 ]] && id _apt > /dev/null 2>&1; then
        chown -R _apt "$dir"
    fi
    local options=(-qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o Acquire::Languages=none
        -o Acquire::Retries=3 -o APT::Update::Error-Mode=any -o APT::Get::AllowUnauthenticated=false
        -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowDowngradeToInsecureRepositories=false)
    apt-get "${options[@]}" update
    (cd "$dir" && apt-get "${options[@]}" source --download-only --only-source "faiss=$version")
}

# Debian's patches touch Python, tests, NEON and 32-bit machines only, so the pristine sources are built.
compile_avx2() {
    local source=$1 build=$2 jobs=$3
    cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$cxx" \
        -DBUILD_SHARED_LIBS=OFF -DFAISS_OPT_LEVEL=avx2 -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF -DBUILD_TESTING=OFF
    cmake --build "$build" --target faiss_avx2 --parallel "$jobs"
}

copy_headers() {
    local source=$1 include=$2
    (cd "$source" && find faiss -name '*.h' ! -path '*/gpu/*' ! -path '*/python/*') | while read -r header; do
        mkdir -p "$include/${header%/*}"
        cp "$source/$header" "$include/$header"
    done
}

build() {
    local work=$1 stage=$2 version=$3
    local jobs memory_kb
    memory_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    jobs=$((memory_kb / 1000000))
    ((jobs < $(nproc))) || jobs=$(nproc)
    ((jobs > 0)) || jobs=1

    fetch_source "$work/fetch" "$version"
    mkdir -p "$work/source" "$stage/lib"
    tar -x -f "$work"/fetch/faiss_*.orig.tar.* -C "$work/source" --strip-components 1 --no-same-owner
    compile_avx2 "$work/source" "$work/build" "$jobs"
    cp "$work/build/faiss/libfaiss_avx2.a" "$stage/lib/libfaiss.a"
    copy_headers "$work/source" "$stage/include"
    cp "$work/source/LICENSE" "$stage/LICENSE"
    printf 'FAISS %s, avx2\n' "$version" > "$stage/built"
    chmod 755 "$stage"
}

main() {
    local tool version variant key final work status
    variant=${ATOLL_FAISS_VARIANT:-packaged}
    if [[ -z ${ATOLL_FAISS_VARIANT:-} ]] && cpu_has avx2 fma f16c popcnt && command -v apt-get > /dev/null; then
        variant=avx2
    fi
    [[ $variant == avx2 ]] || return 0
    for tool in apt-get apt-cache cmake ninja "$cxx" ar tar gzip flock sha256sum; do
        command -v "$tool" > /dev/null || die "needs $tool"
    done
    version=$(source_version)
    [[ -n $version ]] || die "apt does not know libfaiss-dev; run apt-get update"
    key=$({ cat "$self"; printf '%s\n' "$version" "$(uname -m)"; "$cxx" --version; } | sha256sum | cut -c 1-16)
    final=$cache/faiss-$key

    mkdir -p "$cache"
    exec 9> "$cache/faiss.lock"
    flock 9
    if [[ ! -e $final/built ]]; then
        rm -rf "$cache"/.faiss-stage-*
        stage=$(mktemp -d "$cache/.faiss-stage-XXXXXX")
        work=$(mktemp -d "${TMPDIR:-/tmp}/atoll-faiss-XXXXXX")
        chmod 755 "$work"
        # shellcheck disable=SC2064
        trap "rm -rf '$work' '$stage'" EXIT
        say "Building FAISS $version for AVX2 into $final: two or three minutes, once for this machine."
        # A subshell behind || would run without -e, so its status is taken the long way.
        set +e
        (set -e; build "$work" "$stage" "$version") > "$cache/faiss.log" 2>&1 9>&-
        status=$?
        set -e
        if ((status != 0)); then
            tail -n 25 "$cache/faiss.log" >&2
            die "the build failed; all of its output is in $cache/faiss.log"
        fi
        rm -rf "$final"
        mv "$stage" "$final"
    fi
    printf '%s\n' "$final"
}

main "$@"
