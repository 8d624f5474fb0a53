#!/bin/sh
# Turn the package index that apt knows into a stream: one JSON record a line for each package, its name and short
# description as text, its section as label. Sections are gathered into ecosystems that arrive one after another; inside
# one the order is a fixed shuffle, so the same index always gives the same stream.
#
# usage: data/packages.sh [--domains] [FILE]
#   --domains  name each record's ecosystem in its `domain`
#   FILE       the output of `apt-cache dumpavail` (by default it is asked for)
set -eu
export LC_ALL=C

domains=0
if [ "${1:-}" = --domains ]; then
    domains=1
    shift
fi
if [ $# -gt 1 ]; then
    echo "usage: $0 [--domains] [FILE]" >&2
    exit 2
fi

index() {
    if [ $# -eq 1 ]; then
        cat "$1"
    else
        apt-cache dumpavail
    fi
}

index "$@" | awk -v domains="$domains" '
    function ecosystem(name, sections,    list, count, i) {
        names[++ecosystems] = name
        count = split(sections, list, " ")
        for (i = 1; i <= count; i++)
            place[list[i]] = ecosystems
    }

    # Byte by byte where that is needed: most strings hold nothing that JSON wants escaped.
    function json(text,    out, i, c) {
        gsub(/[\001-\037\177]+/, " ", text)
        if (text !~ /["\\]/)
            return "\"" text "\""
        out = ""
        for (i = 1; i <= length(text); i++) {
            c = substr(text, i, 1)
            out = out (c == "\"" || c == "\\" ? "\\" c : c)
        }
        return "\"" out "\""
    }

    # A Lehmer generator stirred by each byte. Neighbouring names must not stay neighbours, hence the turns at the end.
    function scatter(text,    h, i) {
        h = 1
        for (i = 1; i <= length(text); i++)
            h = (h * 16807 + code[substr(text, i, 1)]) % 2147483647
        for (i = 0; i < 4; i++)
            h = (h * 16807 + 12345) % 2147483647
        return h
    }

    function finish(    order, record) {
        sub(/^.*\//, "", section)
        if (package != "" && section != "" && description != "" && !(package in seen)) {
            seen[package] = 1
            order = section in place ? place[section] : ecosystems
            record = "{\"id\":" json(package) ",\"text\":" json(package ": " description) ",\"label\":" json(section)
            if (domains)
                record = record ",\"domain\":" json(names[order])
            printf "%02d\t%010d\t%s\t%s}\n", order, scatter(package), package, record
        }
        package = section = description = ""
    }

    function value(    text) {
        text = $0
        sub(/^[^:]*:[ \t]*/, "", text)
        sub(/[ \t\r]+$/, "", text)
        return text
    }

    BEGIN {
        for (i = 1; i < 256; i++)
            code[sprintf("%c", i)] = i
        ecosystem("desktop", "gnome kde xfce x11 gnustep introspection tasks metapackages")
        ecosystem("python", "python zope")
        ecosystem("perl", "perl raku")
        ecosystem("web", "web javascript php ruby httpd")
        ecosystem("java", "java cli-mono")
        ecosystem("functional", "haskell ocaml rust golang lisp")
        ecosystem("libraries", "libs libdevel oldlibs")
        ecosystem("science", "science math gnu-r electronics hamradio education")
        ecosystem("network", "net mail news comm database")
        ecosystem("media", "games sound video graphics fonts")
        ecosystem("documents", "doc localization tex text editors")
        ecosystem("system", "admin utils devel debug shells vcs kernel interpreters misc")
    }

    /^$/ { finish() }
    /^Package:/ { package = value() }
    /^Section:/ { section = value() }
    /^Description(-en)?:/ { description = value() }
    END { finish() }
' | sort | cut -f 4-
