#!/bin/sh
# make bench-gpu: our kernels and stages and PyTorch's in one run on one GPU,
# as one table.  BUILD and, for sections of it, SECTIONS say what; RESULTS is a
# folder where the rows of both sides stay, and are added to.  Without PyTorch
# the table has our side alone.
set -eu

build=${BUILD:-build}
sections=${SECTIONS:-ops attention encode decode prefill align sft train}
here=$(dirname "$0")
if [ -n "${RESULTS:-}" ]; then
	tmp=$RESULTS
	mkdir -p "$tmp"
else
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
fi
: >>"$tmp/peer"
: >>"$tmp/ours"

LD_LIBRARY_PATH=$(cd "$build/lib" && pwd)
export LD_LIBRARY_PATH
for s in $sections; do
	case $s in
	ops | attention) "$build/tests/bench/gpu/ops" "$s" >>"$tmp/ours" ;;
	*) "$build/tests/bench/gpu/stages" "$s" >>"$tmp/ours" ;;
	esac
	if python3 -c 'import torch' 2>/dev/null; then
		env -u LD_LIBRARY_PATH python3 "$here/peer.py" "$s" \
		    >>"$tmp/peer" || echo "# peer.py $s failed" >&2
	fi
done
awk -f "$here/table.awk" "$tmp/peer" "$tmp/ours"
