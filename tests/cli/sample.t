#!/bin/sh
# gv-sample: one process from pictures and a prompt to text; the same answers
# as the pipeline gives.
# shellcheck disable=SC2016 # jq has variables, too
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"
. "$SRC/tests/cli/model.sh"

cat >say <<END
#!/bin/sh
exec gv-sample -m '$MODEL' --max-tokens 12 "\$@"
END
chmod +x say
A=$PICTURES/rgb8.png
B2=$PICTURES/grey.jpg
ask='what is the shape in the image?'

# ---- answers
ok "an answer about a picture" say -p "$ask" "$A"
is "is one line, then a newline" "$(tail -c1 "$T/.out" | od -An -c)" '  \n'
say --temperature 0 -p "$ask" "$A" >greedy
is "greedy is what the pipeline samples" "$(cat greedy)" \
	"$(gv-rollout -m "$MODEL" --temperature 0 --max-tokens 12 pi.gv |
		look 'select(.key == "a").text')"
is "text alone, too" "$(say --temperature 0 -p 'yes or no?')" \
	"$(gv-rollout -m "$MODEL" --temperature 0 --max-tokens 12 pi.gv |
		look 'select(.key == "e").text')"
is "the same again" "$(say -p "$ask" "$A" | cksum)" \
	"$(say -p "$ask" "$A" | cksum)"
say --seed 1 -p "$ask" --temperature 2 "$A" >one
say --seed 2 -p "$ask" --temperature 2 "$A" >two
ok "another seed, another answer" sh -c '! cmp -s one two'
is "top-k 1 is greedy" "$(say --top-k 1 -p "$ask" "$A")" "$(cat greedy)"
is "top-p near 0 is greedy" "$(say --top-p 0.000001 -p "$ask" "$A")" \
	"$(cat greedy)"
long=$(say --seed 3 -p "$ask" --temperature 2 --max-tokens 60 "$A" | tr -d '\0')
cut=$(say --seed 3 -p "$ask" --temperature 2 --max-tokens 60 --stop e "$A" |
	tr -d '\0')
case $long in *e*) ok "a stop string" test "$cut" = "${long%%e*}" ;;
*) ok "a text with an e" false ;; esac
is "... says so" "$(say --seed 3 -p "$ask" --temperature 2 --max-tokens 60 \
	--stop e --json "$A" | jq -r .stop)" string
ok "two pictures" say -p 'which of these two is larger' "$A" "$B2"
say --temperature 0 -p "$ask" "$B2" >grey
ok "another picture, another answer" sh -c '! cmp -s grey greedy'
is "the prompt from standard input" \
	"$(printf '%s\n' "$ask" | say --temperature 0 "$A")" "$(cat greedy)"
is "at most so many tokens" \
	"$(say --max-tokens 3 --json --temperature 0 -p "$ask" "$A" |
		jq -c '[.tokens <= 3, .stop]')" '[true,"length"]'
is "--json has the text" "$(say --json --temperature 0 -p "$ask" "$A" |
	jq -r .text)" "$(cat greedy)"
is "the model's template by its name" "$(say --temperature 0 -p "$ask" \
	--template nano "$A")" "$(cat greedy)"
must_fail 2 "a template that isn't there" gv-sample -m model --template x -p a
must_fail 1 "one that the vocabulary can't write" gv-sample -m model \
	--template llama3 -p a
must_fail 2 "templates are for chats" gv-sample -m model --raw --template nano \
	-p a
# ---- tiles, where the model's processor makes them
cp -r "$MODEL" split
jq '.image_processor_type = "SmolVLMImageProcessor" | .resample = 1 |
	.do_image_splitting = true | .size = {longest_edge: 128} |
	.max_image_size = {longest_edge: 64}' \
	"$MODEL/preprocessor_config.json" >split/preprocessor_config.json
jq -nc --arg q "$ask" --arg a "$PICTURES/base-420.jpg" --arg b "$B2" '
	{id: "a", image: [$a, $b], messages: [{role: "user", content: [
		{type: "image"}, {type: "image"}, {type: "text", text: $q}]}]}
	' >cut.jsonl
gv-decode -m split --fit tile -o cut.gv cut.jsonl
gv-tokenize -m split --prompt --tiles cut.gv -o cutp.gv cut.jsonl
gv-paste -o cutpi.gv cutp.gv cut.gv
is "two pictures in tiles" "$(gv-stat cut.gv | sed -n \
	's/^  image  *U8 *(\([0-9]*\),.*/\1/p')" 10
cut='{text, stop, logp: (.logp * 1e5 | round)}'
is "are what the pipeline makes of them" \
	"$(gv-sample -m split --json --temperature 0 --max-tokens 12 -p "$ask" \
		"$PICTURES/base-420.jpg" "$B2" | jq -c "$cut")" \
	"$(gv-rollout -m split --temperature 0 --max-tokens 12 cutpi.gv |
		look '.logp = ([.logp[] | select(. != 0)] | add) | '"$cut")"
jq '.do_image_splitting = false' split/preprocessor_config.json >whole.json
cp -r split whole
mv whole.json whole/preprocessor_config.json
for m in split whole; do
	gv-sample -m $m --score red -p "$ask" "$PICTURES/base-420.jpg" >$m.txt
done
ok "and other than one square each" sh -c '! cmp -s split.txt whole.txt'

cp -r "$MODEL" strange
echo '[INST] {{ messages }}' >strange/chat_template.jinja
must_fail 1 "a model's template that isn't known" gv-sample -m strange -p a
said "... is refused" "--template"
ok "... unless one is named" gv-sample -m strange --template nano -p a \
	--max-tokens 2
ok "plain text goes on" say --raw -p 'what is the'
ok "output is UTF-8" sh -c 'for s in 1 2 3 4 5 6; do
	gv-sample -m model --raw -p a --temperature 30 --seed $s; done |
	iconv -f UTF-8 -t UTF-8 >/dev/null'

# ---- records
say --records --temperature 0 pi.gv >lines
is "a line a record" "$(jq -r .id lines | tr -d '\n')" abcdefg
is "... in order, what gv-rollout samples" "$(jq -r .text lines)" \
	"$(gv-rollout -m "$MODEL" --temperature 0 --max-tokens 12 pi.gv |
		look .text)"
is "records from standard input" "$(say --records --temperature 0 <pi.gv)" \
	"$(cat lines)"

# ---- scores
ok "a score" say -p "$ask" --score 'red circle' "$A"
# samples of the pipeline as answers: the score is the sum of their logp
jq -c '.messages += [{role: "assistant", content: "red circle"}]' q.jsonl |
	gv-tokenize -m "$MODEL" --chat -o c.gv -
want=$(gv-paste c.gv i.gv | gv-rollout -m "$MODEL" --score |
	look 'select(.key == "a").logp | add')
is "is the sum of the tokens' log-probabilities" "$(say -p "$ask" --json \
	--score 'red circle' "$A" | jq "((.logp - ($want)) | fabs) < 1e-4")" true
is "perplexity and bits per byte follow" "$(say --raw --json --score \
	"$ask" | jq -c '[(.bytes == 31),
	((.perplexity | log) + .logp / .tokens | fabs) < 1e-6,
	(.bits_per_byte + .logp / .bytes / (2 | log) | fabs) < 1e-6]')" \
	'[true,true,true]'
is "five lines" "$(say --raw --score "$ask" | cut -d' ' -f1 | tr '\n' ' ')" \
	"tokens bytes logp perplexity bits_per_byte "
is "-v names each token" "$(say -v --raw --json --score "$ask" 2>err |
	jq .tokens)" "$(grep -c "'$" err)"
is "a likelier text has the better score" "$(say --raw --json -p "$ask" \
	--temperature 0 >next; text=$(jq -r .text next)
	a=$(say --raw --json -p "$ask" --score "$text" | jq '.logp / .bytes')
	b=$(say --raw --json -p "$ask" --score 'zqjxk' | jq '.logp / .bytes')
	jq -n "($a) > ($b)")" true

is "--json lists the tokens" "$(say --raw --json --score "$ask" | jq -c '
	[(.ids | length) == .tokens, (.logps | length) == .tokens,
	((.logps | add) - .logp | fabs) < 1e-5]')" '[true,true,true]'

# ---- the model's own law
cp -r model own
own() { # JSON: the law of model `own`
	jq -c ". + $1" model/generation_config.json >own/generation_config.json
}
# law ARG...: what -v says of the law
law() {
	gv-sample -v -m own -p x --max-tokens 1 "$@" 2>&1 >/dev/null |
		sed -n 's/^gv-sample: \(temperature.*\)/\1/p'
}
[ -f model/generation_config.json ] || echo '{}' >model/generation_config.json
rest="min-p 0, repetition penalty 1"
own '{"do_sample": true, "temperature": 0.5, "top_k": 3, "top_p": 0.9}'
is "generation_config.json's" "$(law)" \
	"temperature 0.5, top-k 3, top-p 0.9, $rest, as generation_config.json says"
is "... but for what the command line says" "$(law --top-k 0)" \
	"temperature 0.5, top-k 0, top-p 0.9, $rest, as generation_config.json says"
is "... which may be all of it" \
	"$(law --temperature 1 --top-k 0 --top-p 1 --min-p 0 \
		--repetition-penalty 1)" "temperature 1, top-k 0, top-p 1, $rest"
own '{"do_sample": true, "top_k": 1}'
is "it is drawn by" "$(gv-sample -m own -p "$ask" --max-tokens 12 "$A")" \
	"$(cat greedy)"
own '{"do_sample": false}'
is "no sampling is greedy" "$(gv-sample -m own -p "$ask" --max-tokens 12 "$A")" \
	"$(cat greedy)"
own '{"do_sample": true, "min_p": 1}'
is "a min-p of 1 is greedy" "$(gv-sample -m own -p "$ask" --max-tokens 12 \
	"$A")" "$(cat greedy)"
own '{"do_sample": false, "repetition_penalty": 1000}'
is "what repeats is held down" "$(gv-sample -m own --raw -p "$ask" \
	--max-tokens 40 --json | jq .text)" "$(say --raw -p "$ask" \
	--max-tokens 40 --temperature 0 --repetition-penalty 1000 --json |
	jq .text)"
ok "... and isn't by itself" test "$(say --raw -p "$ask" --max-tokens 40 \
	--temperature 0)" != "$(say --raw -p "$ask" --max-tokens 40 \
	--temperature 0 --repetition-penalty 1000)"

# what transformers writes where a tokenizer has no limit
sed '1s/{/{"model_max_length": 1000000000000000019884624838656,/' \
	model/tokenizer_config.json >own/tokenizer_config.json
own '{"do_sample": false}'
is "a length without limits" "$(gv-sample -m own -p "$ask" --max-tokens 12 \
	"$A")" "$(cat greedy)"

# ---- a chat on a terminal
if command -v script >/dev/null; then
	on_terminal() { # TYPED-FILE ARG...: what gv-sample shows
		typed=$1
		shift
		script -qec "stty -echo; ./say $*" \
			/dev/null <"$typed" | tr -d '\r'
	}
	printf 'yes or no?\n/reset\nyes or no?\n\004' >typed
	on_terminal typed --temperature 0 >chat
	grep '^> .' chat | sed 's/^\(> \)*//' >answers
	is "the chat answers, forgets, answers the same" \
		"$(sed -n 2p answers)" "$(sed -n 1p answers)"
	ok "... something" test -n "$(sed -n 1p answers)"
	printf 'yes or no?\nyes or no?\n\004' >typed
	on_terminal typed --temperature 0 >chat
	grep '^> .' chat | sed 's/^\(> \)*//' >answers
	ok "a second turn has the first before it" \
		test "$(sed -n 2p answers)" != "$(sed -n 1p answers)"
	first=$(sed -n 1p answers)
	{ printf '%3000s' x | tr ' ' x; printf '\nyes or no?\n\004'; } >typed
	on_terminal typed --temperature 0 >chat
	is "a question that is too long is said to be, and taken back" \
		"$(grep -c 'reset starts over' chat) $(grep -v over chat |
			grep '^> .' | sed 's/^\(> \)*//')" "1 $first"
	is "no control bytes reach a terminal" "$(printf 'x\n\004' >typed
		for s in 1 2 3; do
			on_terminal typed --temperature 30 --seed $s
		done | tr -d '\n\t\040-\377' | wc -c)" 0
fi

# ---- what doesn't work
printf 'not a picture' >bad.png
must_fail 1 "a picture that is none" say -p x bad.png
must_fail 1 "a picture that isn't there" say -p x missing.png
must_fail 1 "a directory as picture" say -p x .
must_fail 1 "no prompt on standard input" sh -c './say </dev/null'
must_fail 1 "a prompt that isn't UTF-8" say -p "$(printf '\377')"
must_fail 1 "a prompt beyond the model's positions" \
	say -p "$(head -c 9000 /dev/zero | tr '\0' 'z')"
must_fail 2 "pictures for plain text" say --raw -p x "$A"
must_fail 2 "--records with a prompt" say --records -p x pi.gv
must_fail 1 "a full disk" sh -c './say -p x >/dev/full'
must_fail 1 "closed output" sh -c './say -p x >&-'
must_fail 1 "records to a full disk" sh -c './say --records pi.gv >/dev/full'
gv-encode-vision -m "$OTHER" --stage full -o stale.gv i.gv
gv-paste -o ps.gv p.gv stale.gv
must_fail 1 "stale embeds" say --records ps.gv
head -c 700 pi.gv >cut.gv
for f in q.jsonl cut.gv missing . /dev/null; do
	must_fail 1 "records: $f" say --records "$f"
done
bad_usage pi.gv gv-sample -p x -m "$MODEL"
finish
