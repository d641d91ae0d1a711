#!/bin/sh
# Every program while memory ends and system calls fail, each call in turn and
# all from one on: the whole output, or one line and none.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/fault/setup.sh
. "$SRC/tests/fault/setup.sh"

# What may fail, once and for good; and what must make no difference.
ERRORS="alloc alloc+ read:EIO read:EIO+ write:ENOSPC write:EDQUOT+ open:EMFILE
open:EMFILE+ close:EIO fsync:EIO fsync:EIO+ rename:EDQUOT rename:EIO+
mmap:ENOMEM mmap:ENOMEM+ ftruncate:EIO"
NONE="read:EINTR write:EINTR read:EAGAIN write:EAGAIN read:SHORT+ write:SHORT+"

for p in $(programs); do
	cp "$(good_for "$p")" in
	OUT=$(case $p in gv-diff | gv-sample | gv-stat) ;; *) echo want ;; esac)
	command_of "$p"
	rm -rf want
	if [ "$OUT" ]; then
		$c
		OUT=out
	else
		$c >want
	fi
	ok "$p: its output" test -e want
	: >said
	for f in $ERRORS; do
		# without any descriptor a directory can't be emptied: the next
		# run that makes OUT takes it away
		leave=$([ "$f" = open:EMFILE+ ] && echo 'out.tmp.*')
		ok "$p: $f" drive "$p" -l "$leave" -w want -n 24 fault "$f"
		cat .out >>said
	done
	for f in $NONE; do
		ok "$p: $f" drive "$p" -c 0 -w want -n 24 fault "$f"
		cat .out >>said
	done
	note "$(awk '{n += $1} END {print n, "runs"}' said)"
done

finish
