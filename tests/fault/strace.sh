#!/bin/sh
# System calls fail as the kernel sees them, those inside libc included: slower
# than faults.t and only where ptrace is allowed, so it is run by hand.
#
#	sh tests/fault/strace.sh [PROG...]
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/../cli/tap.sh"
# shellcheck source=tests/fault/setup.sh
. "$SRC/tests/fault/setup.sh"
strace -qq -o log true 2>/dev/null || {
	echo '1..0 # SKIP no strace, or no ptrace'
	exit 0
}

# What is counted before main() begins is the dynamic linker's: as many calls
# as --version makes, but for its one line.
before() { # PROG CALL
	strace -f -o log -e trace="$2" "$1" --version >/dev/null 2>&1
	n=$(grep -c "$2(" log)
	case $2 in write | close) n=$((n - 1)) ;; esac
	echo $((n > 0 ? n : 0))
}

[ $# -gt 0 ] || set -- gv-cat gv-stat gv-decode gv-tokenize gv-model gv-train
for p; do
	cp "$(good_for "$p")" in
	OUT=$(case $p in gv-sample | gv-stat) ;; *) echo want ;; esac)
	rm -rf want
	command_of "$p"
	if [ "$OUT" ]; then $c && OUT=out; else $c >want; fi
	for f in read:EIO read:EINTR write:ENOSPC write:EINTR openat:EMFILE \
		close:EIO fsync:EIO rename:EDQUOT mmap:ENOMEM fstat:EIO; do
		call=${f%:*}
		i=$(before "$p" "$call")
		last=$((i + 12))
		: >bad
		: >log
		while [ $i -lt $last ]; do
			i=$((i + 1))
			WRAP="strace -f -qq -o log -e trace=$call
				-e inject=$call:error=${f#*:}:when=$i"
			drive "$p" -c 01 -w want once >said 2>&1 ||
				{ echo "$i: "; cat said; } >>bad
			grep -q INJECTED log || break
		done
		is "$p: $f" "$(head -c 600 bad)" ''
	done
done

finish
