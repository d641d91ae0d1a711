#!/bin/sh
# rl-report.sh DIR: what a run of rl.mk in DIR has reached, and its cost.
set -eu

cd "$1"
printf '%-8s %10s   %s\n' step accuracy '95 % interval'
awk -F '\t' 'NR > 1 {
	printf "%-8d %8.2f %%   %.2f to %.2f\n", $1, 100 * $2, 100 * $3, 100 * $4
}' eval.tsv
echo

# Means over the first tenth of the steps, and the last.
awk -F '\t' '
NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i; columns = NF; next }
{ for (i = 2; i <= columns; i++) v[NR - 1, i] = $i }
END {
	n = NR - 1
	tenth = n > 10 ? int(n / 10) : 1
	printf "%-12s %12s %12s\n", "", "first tenth", "last tenth"
	for (i = 2; i <= columns; i++) {
		if (v[1, i] == "-")
			continue
		a = b = 0
		for (k = 1; k <= tenth; k++) {
			a += v[k, i] / tenth
			b += v[n + 1 - k, i] / tenth
		}
		printf "%-12s %12.4g %12.4g\n", name[i], a, b
	}
}' log.tsv
echo
awk '{ wall += $1; cpu += $2 }
END { printf "training: %.0f s, %.0f s of a processor\n", wall, cpu }' \
    cost/model.model.safetensors
