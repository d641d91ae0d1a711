#!/bin/sh
# gv-rollout: samples that don't depend on the batch, on how images come or on
# who else is sampled; scores that agree; nothing stale.
# shellcheck disable=SC2016 # jq has variables, too
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"
. "$SRC/tests/cli/model.sh"

# a program, so that must_fail can run it
cat >roll <<END
#!/bin/sh
exec gv-rollout -m '$MODEL' --max-tokens 10 "\$@"
END
chmod +x roll # PATH has $T

# ---- fields
ok "samples of prompts" roll --group 3 --seed 4 -o s.gv pi.gv
is "kind and records" "$(gv-stat --json s.gv | jq -rc '[.kind, .records]')" \
	'["samples",21]'
is "ordered by prompt, then sample" \
	"$(look '[.key, .group, .sample]' <s.gv | tr -d '\n')" \
	"$(for k in a:0 b:1 c:2 d:3 e:4 f:5 g:6; do for i in 0 1 2; do
		printf '["%s",%d,%d]' "${k%:*}" "${k#*:}" $i; done; done)"
is "law and version" "$(look '[.seed, .temperature, .top_k, .top_p, .min_p,
	.repetition_penalty, .policy]' <s.gv | sort -u)" '[4,1,0,1,0,1,0]'
is "what the record came from is passed on, images are not" \
	"$(look '[.answers[0], .task, (.messages | length), has("image"),
		has("image_size")]' <s.gv | sort -u)" \
	'["red","exact",1,false,true]'
is "tokens start with the prompt" "$(look '.key as $k |
	[.tokens, .loss_mask] | transpose | map(select(.[1] == 0)[0]) |
	[$k, .]' <s.gv | sort -u)" "$(look '[.key, .tokens]' <p.gv | sort -u)"
is "the mask marks what comes after" \
	"$(look '.loss_mask | map(tostring) | join("") | test("^(0.0|0)+(1.0|1)+$")' \
	<s.gv | sort -u)" true
is "logp is negative where the mask is, else 0" "$(look '[.logp, .loss_mask]
	| transpose | map(if .[1] > 0 then .[0] <= 0 else .[0] == 0 end) | all' \
	<s.gv | sort -u)" true
is "at most 10 tokens, fewer only with a stop" \
	"$(look '(.loss_mask | add) as $n | ($n <= 10 and
		(($n < 10) <= (.stop == "stop")))' <s.gv | sort -u)" true

# ---- the same samples, whatever
look '[.key, .sample, .tokens, .text, .stop]' <s.gv >want
for b in 1 2 7 256; do
	roll --group 3 --seed 4 --batch $b pi.gv | \
		look '[.key, .sample, .tokens, .text, .stop]' >got
	ok "the same samples with --batch $b" cmp want got
done
for stage in encoder full; do
	gv-encode-vision -m "$MODEL" --stage $stage -o $stage.gv i.gv
	gv-paste p.gv $stage.gv | roll --group 3 --seed 4 | \
		look '[.key, .sample, .tokens, .text, .stop]' >got
	ok "the same samples from --stage $stage" cmp want got
done
ok "the same bytes" sh -c 'gv-rollout -m model --max-tokens 10 --group 3 \
	--seed 4 <pi.gv | cmp - s.gv'
roll --group 3 --seed 5 pi.gv | look '[.key, .sample, .tokens, .text, .stop]' \
	>got
ok "other samples from another seed" sh -c '! cmp -s want got'
ask e 'yes or no?' | gv-tokenize -m "$MODEL" --prompt -o e.gv
ok "two inputs" roll -o ee.gv e.gv e.gv
is "... are one" "$(look '[.key, .group]' <ee.gv | tr -d '\n')" '["e",0]["e",1]'
ok "... whose draws differ" \
	test "$(look .text <ee.gv | sort -u | wc -l)" = 2

# ---- laws
is "greedy: all samples of a group are the same" \
	"$(roll --group 4 --temperature 0 pi.gv | look '[.key, .tokens]' |
		sort -u | wc -l)" 7
is "top-k 1 is greedy" "$(roll --top-k 1 pi.gv | look .tokens)" \
	"$(roll --temperature 0 pi.gv | look .tokens)"
is "a tiny top-p is greedy" "$(roll --top-p 0.000001 pi.gv | look .tokens)" \
	"$(roll --temperature 0 pi.gv | look .tokens)"
first='.loss_mask as $m | .tokens[$m | index(1)]'
n=$(roll --group 64 --temperature 5 --max-tokens 1 pi.gv |
	look "[.key, ($first)]" | grep '"a"' | sort -u | wc -l)
ok "hot first tokens of a group differ" test "$n" -gt 20
n=$(roll --group 64 --temperature 5 --top-k 3 --max-tokens 1 pi.gv |
	look "[.key, ($first)]" | grep '"a"' | sort -u | wc -l)
is "top-k 3 leaves three" "$n" 3
image=$(jq '.added_tokens[] | select(.content == "<|image|>").id' \
	"$MODEL/tokenizer.json")
is "image ids are not sampled" "$(roll --group 64 --temperature 50 pi.gv |
	look "[.tokens, .loss_mask] | transpose |
		map(select(.[1] > 0 and .[0] == $image)) | length" |
	sort -u)" 0

is "min-p 1 is greedy" "$(roll --min-p 1 pi.gv | look .tokens)" \
	"$(roll --temperature 0 pi.gv | look .tokens)"
mask='[.tokens, .loss_mask] | transpose'
is "a strong penalty: no id of text twice" "$(roll --temperature 0 \
	--max-tokens 30 --repetition-penalty 1000 pi.gv | look "$mask |
	map(select(.[1] > 0)[0]) | length == (unique | length)" | sort -u)" true

# ---- stop strings
hot='--group 3 --seed 4 --temperature 2 --max-tokens 40'
# shellcheck disable=SC2086 # $hot is a list
roll $hot -o free.gv pi.gv
# shellcheck disable=SC2086
ok "stop strings" roll $hot --stop e --stop 'wh' -o stop.gv pi.gv
look '{(.key + (.sample | tostring)): .}' <free.gv | jq -s add >free.json
look . <stop.gv | jq -c --slurpfile f free.json '. as $s |
	$f[0][.key + (.sample | tostring)] | [$s.stop,
	$s.tokens == .tokens[:$s.tokens | length],
	$s.text == (.text | split("e")[0] // "" |
		split("wh")[0] // ""),
	($s.stop == "string") == (.text | test("e|wh"))]' | sort | uniq -c |
	awk '{print ($1 > 9), $2}' | sort -u >got
is "a sample ends with the token, its text before the string" \
	"$(grep -v length got)" '0 ["stop",true,true,true]
1 ["string",true,true,true]'
is "... recorded" "$(gv-stat --json stop.gv |
	jq -c '.. | .args? // empty' | grep -c '"--stop","e","--stop","wh"')" 1
must_fail 2 "a stop string that isn't UTF-8" \
	roll --stop "$(printf '\377')" pi.gv -o out.gv
must_fail 2 "an empty one" roll --stop '' pi.gv

# ---- tools
# call TOOL OPTION...: hot samples where a space begins a call and an e ends it.
cat >call <<END
#!/bin/sh
exec gv-rollout -m '$MODEL' $hot --tool-start ' ' --tool-end e --tool "\$@"
END
chmod +x call
ok "a tool" call calculator -o t.gv pi.gv
n=$(look .text <t.gv | grep -ao '<|output_start|>error<|output_end|>' | wc -l)
ok "... is called, and answers ($n times)" test "$n" -gt 5
out=$(jq '.added_tokens[] | select(.content == "<|output_start|>").id' \
	"$MODEL/tokenizer.json")
is "... what it says is masked" "$(look ". as \$r | [.loss_mask, .logp] |
	transpose | map((.[0] > 0) == (.[1] < 0)) | all" <t.gv | sort -u) $(
	look "$mask | map(select(.[0] == $out)[1]) | add" <t.gv | sort -u |
	tr -d '\n')" "true 0null"
gv-paste --many --prefer-first t.gv i.gv | roll --score --score-as again \
	-o tc.gv
is "... and what follows has the logp of a fresh pass" "$(look '[.logp, .again]
	| transpose | map((.[0] - .[1]) | fabs) | max < 0.0001' <tc.gv |
	sort -u)" true
look '[.key, .sample, .tokens, .text, .stop, .loss_mask]' <t.gv >want
all='--min-p 0.001 --repetition-penalty 1.2 --stop wh --top-k 250 --top-p .98'
# shellcheck disable=SC2086
call calculator $all pi.gv | look '[.sample, .tokens, .text, .stop]' >want.all
for b in 1 5 256; do
	call calculator --batch $b pi.gv |
		look '[.key, .sample, .tokens, .text, .stop, .loss_mask]' >got
	ok "... the same with --batch $b" cmp want got
	# shellcheck disable=SC2086
	call calculator $all --batch $b pi.gv |
		look '[.sample, .tokens, .text, .stop]' >got
	ok "... and with everything on" cmp want.all got
done
for stage in encoder full; do
	gv-paste p.gv $stage.gv | call calculator --images -o im.gv
	look '[.key, .sample, .tokens, .text, .stop, .loss_mask]' <im.gv >got
	ok "... the same from --stage $stage" cmp want got
done
is "... which --images passes on" "$(gv-stat --json im.gv |
	jq -c '[.. | .name? // empty] | index("embeds") != null')" true
ok "a program as a tool" call 'while read -r l; do
	echo "{\"output\":\"[${#l}]\"}"; done' -o t.gv pi.gv
ok "... is asked" grep -aq '<|output_start|>\[[0-9]*\]<|output_end|>' t.gv
ok "... marks of its own" call 'while read -r l; do
	echo "{\"error\":\"no\"}"; done' --tool-output-start '(' \
	--tool-output-end ')' -o t.gv pi.gv
ok "... an error is a text" grep -aq '(error: no)' t.gv
must_fail 1 "a tool that ends" call 'read -r l' -o out.gv pi.gv
must_fail 1 "a tool that hangs" \
	call 'sleep 9' --tool-timeout .2 -o out.gv pi.gv
must_fail 1 "a tool that says something else" \
	call 'while read -r l; do echo yes; done' -o out.gv pi.gv
said "... which is quoted" "the program answered 'yes' to call"
must_fail 1 "a tool that isn't there" call ./no-such -o out.gv pi.gv
must_fail 1 "a tool that fails in the end" call 'while read -r l; do
	echo "{\"output\":\"\"}"; done; exit 1' -o out.gv pi.gv
is "nothing is left of them" "$(find . -name '*out.gv*')" ""
must_fail 2 "half of the marks" roll --tool calculator --tool-start x pi.gv
must_fail 2 "marks without a tool" roll --tool-start x --tool-end y pi.gv
must_fail 2 "a tool while scoring" roll --score --tool calculator pi.gv
must_fail 2 "time for a tool that isn't there" roll --tool-timeout 1 pi.gv
must_fail 2 "a wait for nobody" roll --wait 1 pi.gv
must_fail 2 "a name for scores that aren't asked for" roll --score-as s pi.gv
must_fail 2 "groups of records" roll --score --group 4 si.gv

# ---- a trainer's weights, with everything on
cat pi.gv pi.gv >twice.gv
cat >loop <<END
./call calculator $all --images --follow run twice.gv | tee followed.gv |
	gv-reward --task exact |
	gv-train -m '$MODEL' -o trained --objective grpo --publish run \\
		--steps 3 --batch 2 --train language=1e-4
END
ok "following a trainer" timeout 60 sh loop
is "... to its last weights but one" \
	"$(look .policy <followed.gv | sort -u | tr -d '\n')" 012
is "... with calls, stops and images" "$(look '[(.tokens | index('"$out"')) != null,
	.stop == "string", has("image")]' <followed.gv | jq -sc 'transpose |
	map(any)')" "[true,true,true]"

# ---- scoring
gv-paste --many --prefer-first s.gv i.gv >si.gv
ok "scores" roll --score --score-as again -o sc.gv si.gv
is "scores of the policy are its own logp" "$(look '[.logp, .again] |
	transpose | map((.[0] - .[1]) | fabs) | max < 0.00001' <sc.gv |
	sort -u)" true
is "a scored record is what it was" "$(look 'del(.again)' <sc.gv | cksum)" \
	"$(look 'del(.image)' <si.gv | cksum)"
gv-rollout -m "$OTHER" --score si.gv -o ref.gv
is "another model scores all records otherwise" "$(look '.logp | add' <ref.gv |
	grep -cvFx -- "$(look '.logp | add' <s.gv)")" 21
jq -c '.messages += [{role: "assistant", content: "red circle"}]' q.jsonl \
	>chat.jsonl
gv-tokenize -m "$MODEL" --chat -o c.gv chat.jsonl
gv-paste c.gv i.gv | roll --score -o cs.gv
is "targets are scored where they stand" "$(look '[.targets, .logp[1:] + [0]]
	| transpose | map((.[0] >= 0) == (.[1] != 0)) | all' <cs.gv |
	sort -u)" true

# ---- logits
V=$(jq .text_config.vocab_size "$MODEL/config.json")
# dump gives tensors without their shapes
rows='def rows($n): . as $x | [range(0; length; $n) | $x[.:. + $n]];'
ok "all logits, and scores" roll --logits 0 --score --score-as s -o all.gv si.gv
is "... a row of V a token" "$(look '(.logits | length) / (.tokens | length)' \
	<all.gv | sort -u)" "$V"
is "... whose log-softmax is the score" "$(look "$rows"'. as $r |
	(.logits | rows('"$V"')) as $z | [range(1; .tokens | length) |
	select($r.loss_mask[.] > 0) | . as $i | $z[$i - 1] |
	.[$r.tokens[$i]] - (map(exp) | add | log) - $r.s[$i] | fabs] |
	max < 0.00001' <all.gv | sort -u)" true
ok "the largest logits alone" roll --logits 3 -o top.gv si.gv
is "... are those, in order" "$(look '[.logits, .logit_ids]' <top.gv | cksum)" \
	"$(look "$rows"'[.logits | rows('"$V"')[] | [. as $z |
	range(0; length) | [-$z[.], .]] | sort | .[0:3]] |
	[map(map(-.[0])[]), map(map(.[1])[])]' <all.gv | cksum)"
is "... of records as they came" "$(look 'del(.logits, .logit_ids)' <top.gv |
	cksum)" "$(look 'del(.image)' <si.gv | cksum)"
is "of records that nothing marks" \
	"$(printf '{"key":"k","tokens":[1,2,3]}\n' |
	"$MK" tokens 'tokens=I32 (T)' | roll --logits 2 |
	look '[.logits, .logit_ids] | map(length)')" "[6,6]"
is "... or that are empty" "$(printf '{"key":"k","tokens":[]}\n' |
	"$MK" tokens 'tokens=I32 (T)' | roll --logits 0 | look .logits)" "[]"
must_fail 1 "more logits than the model has ids" \
	roll --logits $((V + 1)) -o out.gv si.gv
must_fail 2 "fewer than none" roll --logits -1 si.gv

# ---- what doesn't belong together
gv-encode-vision -m "$OTHER" --stage full -o stale.gv i.gv
gv-paste p.gv stale.gv >ps.gv
must_fail 1 "embeds of another model" roll -o out.gv ps.gv
is "... which says so" "$(cut -d'(' -f1 "$T/.err")" \
	"gv-rollout: cannot use 'ps.gv': made with another vision tower "
gv-encode-vision -m "$OTHER" --stage encoder -o stale.gv i.gv
gv-paste p.gv stale.gv >ps.gv
must_fail 1 "features of another model" roll -o out.gv ps.gv
gv-decode -s 32 -o small.gv q.jsonl
gv-paste p.gv small.gv >psm.gv
must_fail 1 "pixels of another rule" roll -o out.gv psm.gv
must_fail 1 "prompts about images without them" roll -o out.gv p.gv
is "... the record is named" "$(cat "$T/.err")" "gv-rollout: cannot use\
 'p.gv': record 0: the text has 1 images, but 0 are given"
ok "unless they may pass" roll --max-errors 5 -o few.gv p.gv
is "... and are counted" "$(gv-stat --json few.gv | jq -c '[.records, .bad]')" \
	'[2,5]'
printf '{"key":"k","tokens":[1,2,3,%s]}\n' 999999 |
	"$MK" tokens 'tokens=I32 (T)' >big.gv
must_fail 1 "an id beyond the vocabulary" roll big.gv -o out.gv
printf '{"key":"k","tokens":[1,2,3]}\n' |
	"$MK" tokens 'tokens=I32 (T)' @tokenizer=feed >foreign.gv
must_fail 1 "tokens of another vocabulary" roll foreign.gv -o out.gv
printf '{"key":"k","tokens":[]}\n' | "$MK" tokens 'tokens=I32 (T)' >none.gv
must_fail 1 "a prompt without tokens" roll none.gv -o out.gv
printf '{"key":"k","tokens":[1,2,3]}\n' | "$MK" tokens 'tokens=I32 (T)' >ok.gv
ok "tokens of a program without provenance" roll -o own.gv ok.gv
must_fail 1 "nothing to score" roll --score ok.gv -o out.gv
is "no records give none" "$("$MK" tokens 'tokens=I32 (T)' </dev/null |
	roll | gv-stat --json | jq .records)" 0
echo '{"id":"x","conversations":[[{"role":"user","content":"a"}],
[{"role":"user","content":"b"}]]}' | tr -d '\n' |
	gv-tokenize -m "$MODEL" --chat -o several.gv
must_fail 1 "a record of several sequences" roll several.gv -o out.gv
must_fail 2 "a group of none" roll --group 0 pi.gv
must_fail 2 "a negative temperature" roll --temperature -1 pi.gv
bad_stream pi.gv gv-rollout -m "$MODEL"
bad_stream si.gv gv-rollout --score -m "$MODEL"
unread pi.gv gv-rollout -m "$MODEL"
unread si.gv gv-rollout --score -m "$MODEL"
finish
