#!/bin/sh
# gv-encode-vision: rows of the tower and of the projector, the same in any
# batch, never from pixels of another rule.
# shellcheck disable=SC2016 # jq has variables, too
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"
. "$SRC/tests/cli/model.sh"

# enc STAGE ARG...: as a program, so that must_fail can run it.
cat >enc <<END
#!/bin/sh
stage=\$1
shift
exec gv-encode-vision -m '$MODEL' --stage "\$stage" "\$@"
END
chmod +x enc
facts() {
	gv-stat --json "$1" | jq -rc '[.kind, .records, (.fields[] |
		[.name, .dtype, .shape])]'
}

# ---- what comes out
ok "features" enc encoder -o f.gv i.gv
is "... of every patch" "$(facts f.gv)" '["features",7,["image_size","I32",[[0,1],[2,2]]],["features","F32",[[0,1],[256,256],[64,64]]]]'
ok "embeds" enc full -o e.gv i.gv
is "... of every row" "$(facts e.gv)" '["embeds",7,["image_size","I32",[[0,1],[2,2]]],["embeds","F32",[[0,1],[16,16],[96,96]]]]'
ok "embeds in BF16" enc full --dtype bf16 -o h.gv i.gv
is "... have that dtype" "$(gv-stat --json h.gv |
	jq -r '.fields[1].dtype')" BF16
is "... and are the F32 ones, rounded" "$({ look .embeds <e.gv
	look .embeds <h.gv; } | jq -sc '
	.[:7] as $e | .[7:] as $h | [range(7) as $i | range($e[$i] | length)
	as $j | (($e[$i][$j] - $h[$i][$j]) | fabs) <=
		($e[$i][$j] | fabs) / 256 + 1e-30] | [all, length]')" \
	'[true,7680]'
is "keys pass" "$(look .key <e.gv | tr -d '\n')" abcdefg
is "records without an image pass" \
	"$(look '.embeds | length' <e.gv | tr '\n' ' ')" \
	"1536 1536 1536 1536 0 1536 0 "
is "equal pictures give equal rows" \
	"$(look .embeds <e.gv | head -3 | sort -u | wc -l)" 1
is "other pictures others" "$(look .embeds <e.gv | sort -u | wc -l)" 4
is "provenance" "$(gv-stat --json e.gv | jq -rc '.prog[-1] |
	[.name, .args, (.digests | keys)]')" \
	'["gv-encode-vision",["--stage","full","--dtype","f32"],["features","preprocess","projector","vision"]]'
is "the digest is of the weights" "$(enc full i.gv | gv-stat --json |
	jq -r '.prog[-1].digests.vision')" \
	"$(enc encoder i.gv | gv-stat --json | jq -r '.prog[-1].digests.vision')"
gv-encode-vision -m "$OTHER" --stage full -o o.gv i.gv
d='.prog[-1].digests | .vision, .projector'
is "... and another model's are others" \
	"$({ gv-stat --json e.gv; gv-stat --json o.gv; } | jq -r "$d" |
		sort -u | wc -l)" 4

# ---- batches, inputs
# Rows are those of another batch but for the rounding of sums: rows ROWS OTHER.
rows() {
	jq -en --slurpfile a "$1" --slurpfile b "$2" '[$a, $b | flatten] |
		(.[0] | length) == (.[1] | length) and
		([transpose[] | .[0] - .[1] | fabs] | max) < 1e-5'
}
for b in 1 2 3 100; do
	enc full --batch $b i.gv >batch.gv
	look .key <batch.gv >keys.$b
	look .embeds <batch.gv >rows.$b
	ok "the same keys with --batch $b" cmp keys.1 keys.$b
	ok "the same rows with --batch $b" rows rows.1 rows.$b
done
jq -c 'if length > 0 then .[5] += 0.001 else . end' rows.1 >rows.bad
is "... and not with a small fault" "$(rows rows.1 rows.bad)" false
ok "the same bytes from standard input" sh -c 'enc full <i.gv | cmp - e.gv'
ok "two inputs" enc full -o two.gv i.gv i.gv
is "... are one" "$(gv-stat --json two.gv | jq .records)" 14
jq -c 'select(.id == "a") | .image = [.image, .image, .image]' q.jsonl |
	gv-decode -m "$MODEL" -o many.gv -
ok "three images in a record, two in a batch" \
	enc full --batch 2 -o three.gv many.gv
is "... are three equal ones" "$(look '.embeds | [length,
	(.[:1536] == .[1536:3072]), (.[:1536] == .[3072:])]' <three.gv)" \
	'[4608,true,true]'

# ---- what doesn't belong together
gv-decode -s 32 -o small.gv q.jsonl
must_fail 1 "pixels of another size" enc full -o out.gv small.gv
gv-decode -s 64 --filter bilinear -o soft.gv q.jsonl
must_fail 1 "pixels of another filter" enc full -o out.gv soft.gv
is "... which says so" "$(cat "$T/.err")" "gv-encode-vision: cannot use\
 'soft.gv': made with another rule for images (64x64 squash bilinear) than the\
 model's (64x64 squash bicubic)"
gv-paste -o pf.gv p.gv f.gv
ok "features are taken" gv-rollout -m "$MODEL" --max-tokens 1 -o r.gv pf.gv
cp -r "$MODEL" plain
jq '.vision_post_norm = false' "$MODEL/config.json" >plain/config.json
must_fail 1 "features behind a norm where there is none" \
	gv-rollout -m plain --max-tokens 1 -o r.gv pf.gv
is "... which says so" "$(grep -c 'another reading of the vision tower (layer 2/2 norm 0.5 0.5 0.5 0.5 0.5 0.5) than the model' "$T/.err")" 1
must_fail 1 "a stream without pixels" enc full -o out.gv p.gv
must_fail 2 "no stage" gv-encode-vision -m "$MODEL" i.gv
must_fail 2 "a stage that isn't one" enc half i.gv
bad_stream i.gv gv-encode-vision --stage full -m "$MODEL"
unread i.gv gv-encode-vision --stage full -m "$MODEL"
finish
