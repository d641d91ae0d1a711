#!/bin/sh
# easy-vqa-rl-report.sh DIR SEED OBJECTIVE: what the model in DIR/OBJECTIVE
# answers on the test split, by wording, beside the model that it began as, and
# what it answers without the right picture.  The figures alone are a line of
# DIR/OBJECTIVE/result.tsv: seed and objective, accuracy before and after in per
# cent, that at the rarer answers before and after, about other and grey
# pictures, entropy in the first and last tenth of the steps, seconds of a
# processor that the start and the objective took.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
objective=$3

wordings() { jq -rf "$here/easy-vqa-wording.jq" "$1"; }
accuracy() { jq -r '100 * .accuracy' "$1"; }
rarer() { wordings "$1" | awk -F '\t' '/^the rarer/ { print 100 * $2 }'; }

# seconds FILE...: of a processor.
seconds() { awk '{ cpu += $2 } END { printf "%.0f\n", cpu }' "$@"; }

before=$(accuracy before.json)
after=$(accuracy "$objective/right.json")
other=$(accuracy "$objective/other.json")
grey=$(accuracy "$objective/grey.json")
entropy=$(awk -F '\t' 'NR > 1 { h[NR - 1] = $4 } END {
	tenth = NR > 11 ? int((NR - 1) / 10) : 1
	for (i = 1; i <= tenth; i++) {
		a += h[i] / tenth
		b += h[NR - i] / tenth
	}
	printf "%.3f\t%.3f\n", a, b
}' "$objective/log.tsv")

printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$2" "$objective" \
    "$before" "$after" "$(rarer before.json)" \
    "$(rarer "$objective/right.json")" "$other" "$grey" "$entropy" \
    "$(seconds cost/names.model.safetensors cost/all.model.safetensors \
	cost/sft.model.safetensors)" \
    "$(seconds "$objective/cost/model.model.safetensors")" >"$objective/result.tsv"

echo
printf '%-44s  %-22s  %s\n' 'test split, by wording: right, in %' \
    'before' "after ($objective)"
printf '%-44s' 'where the answer is'
printf ' %6s %6s %6s' other yes no '  other' yes no
echo
{
	wordings before.json
	echo after
	wordings "$objective/right.json"
} | awk -F '\t' '
	function part(x) {
		return x == "-" ? "       " : sprintf(" %6.1f", 100 * x)
	}
	$1 == "after" { after = 1; next }
	!after { before[$1] = part($2) part($3) part($4); next }
	{ printf "%-44s%s  %s\n", $1, before[$1],
	    part($2) part($3) part($4) }' | sed 's/ *$//'
echo
printf '%-44s %20.2f %22.2f\n' 'all, right picture' "$before" "$after"
printf '%-44s %20s %22.2f\n' "all, another picture" '' "$other"
printf '%-44s %20s %22.2f\n' 'all, grey' '' "$grey"
