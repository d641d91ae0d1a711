#!/bin/sh
# Every program and its manual page agree about the options, and every program
# does what all do: --help, --version, wrong options, a full disk.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"

# The commands that the usage of a program names, if it has any.
commands() {
	"$1" --help | sed -n "/^\$/q;s/^.*$2 \([a-z][a-z]*\) .*/\1/p"
}

# The long options that a program prints, with any of its commands.
printed() {
	for c in '' $(commands "$1" "$2"); do
		"$1" ${c:+"$c"} --help
	done | sed -n 's/^  \(-[a-zA-Z0-9], \)\{0,1\}--\([a-z0-9-]*\).*/\2/p' |
		sort -u
}

# Those that its page documents: each `Fl -name` of a line that is an item.
documented() {
	sed -n '/^\.It .*Fl -/p' "$1" | tr ' ' '\n' |
		sed -n '/^Fl$/{n;s/^-\([a-z0-9-]*\).*/\1/p;}' | sort -u
}

n=0
for path in "$B"/bin/gv-*; do
	p=${path##*/}
	page=$SRC/man/man1/$p.1
	case $p in *.*) continue ;; esac
	[ -x "$path" ] || continue
	n=$((n + 1))
	ok "$p has a manual page" test -s "$page" || continue
	printed "$path" "$p" >want
	documented "$page" >got
	ok "$p --help lists options" test -s want
	is "$p: options of the page are those of --help" \
		"$(diff want got)" ""
	is "$p --version" "$("$path" --version)" \
		"$p (GhostVis) $(sed -n 's/^#define GV_VERSION "\(.*\)"/\1/p' \
			"$SRC/lib/version.h")"
	is "$p: usage starts with its name" \
		"$("$path" -h | head -1 | cut -d' ' -f1,2)" "usage: $p"
	is "$p: the page has its name" "$(sed -n 's/^\.Nm \([a-z-]*\)$/\1/p' \
		"$page" | head -1)" "$p"
	for s in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' EXAMPLES \
		'SEE ALSO' SOURCE BUGS; do
		grep -q "^\.Sh $s\$" "$page" || echo "$s"
	done >missing
	is "$p: the page has its sections" "$(cat missing)" ""
	sed -n '/^\.Sh SOURCE/,/^\.Sh [^S]/p' "$page" |
		sed -n 's/^\.Pa \([bkl][a-z]*\/[^ ]*\).*/\1/p' |
		while read -r f; do
			[ -e "$SRC/$f" ] || echo "$f"
		done >missing
	is "$p: the files that it names are there" "$(cat missing)" ""
	must_fail 2 "$p: an unknown option" "$path" --no-such-option
	must_fail 2 "$p: an unknown letter" "$path" -@
	# whose 1 is an answer
	case $p in gv-diff) fails=2 ;; *) fails=1 ;; esac
	must_fail $fails "$p: --help to a full disk" \
		sh -c '"$1" --help >/dev/full' sh "$path"
	must_fail $fails "$p: --version to a full disk" \
		sh -c '"$1" --version >/dev/full' sh "$path"
	must_fail $fails "$p: --help to a closed stdout" \
		sh -c '"$1" --help >&-' sh "$path"
done
ok "programs were looked at" test $n -gt 0
finish
