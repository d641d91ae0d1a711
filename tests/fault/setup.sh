# What the tests of failure share: small inputs of every kind, and for each
# program a command that works on them.  Needs tap.sh; sets $DRIVE.
# shellcheck shell=sh disable=SC2034 # that use it

DRIVE=$B/tests/fault/drive
GV_FAULT_SO=$B/tests/fault/fail.so
TMPDIR=$T
OPENBLAS_NUM_THREADS=1
export GV_FAULT_SO TMPDIR OPENBLAS_NUM_THREADS

programs() { # every program that is built here
	for prog_path in "$B"/bin/gv-*; do
		case $prog_path in *.*) continue ;; esac
		[ ! -x "$prog_path" ] || basename "$prog_path"
	done
}

# ---- inputs -----------------------------------------------------------------

cat >config.json <<'END'
{"model_type":"ghostvis","text_config":{"model_type":"qwen2","hidden_act":
"silu","rms_norm_eps":1e-6,"tie_word_embeddings":true,"hidden_size":8,
"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":1,
"num_key_value_heads":1,"max_position_embeddings":64,"rope_theta":1e4},
"vision_config":{"model_type":"siglip_vision_model","image_size":4,
"patch_size":4,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
"num_attention_heads":1},"vision_feature_layer":-1,"vision_post_norm":true,
"resampler":{"type":"avgpool","rows":1},
"projector":{"hidden_size":8,"act":"gelu"}}
END
printf 'aa bb\n' >words
cp "$SRC/tests/golden/image/rgb8.png" pic.png || exit 1
cp "$SRC/tests/golden/image/grey.jpg" pic.jpg || exit 1
cat >q.jsonl <<'END'
{"id":"a","image":"pic.png","answers":["b"],"task":"exact","messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"a"}]}]}
END
cat >list.jsonl <<'END'
{"id":"a","image":"pic.png"}
{"id":"b","image":"pic.jpg"}
END
inputs() {
	set -e
	gv-tokenize train --vocab 266 -o tok words
	gv-model init config.json --tokenizer tok -o m --seed 1
	gv-tokenize -m m --prompt -o p.gv q.jsonl
	gv-tokenize -m m --text -o t.gv words
	gv-decode -m m -o i.gv q.jsonl
	gv-paste -o pi.gv p.gv i.gv
	gv-rollout -m m --max-tokens 2 -o s.gv pi.gv
	gv-reward -o r.gv s.gv
}
(inputs) || exit 1

# ---- commands ---------------------------------------------------------------

# A good input for a program.
good_for() { # PROG
	case $1 in
	gv-decode) echo pic.png ;;
	gv-encode-vision | gv-paste) echo i.gv ;;
	gv-model) echo config.json ;;
	gv-reward) echo s.gv ;;
	gv-rollout | gv-sample) echo pi.gv ;;
	*) echo t.gv ;;
	esac
}

# command_of PROG: sets $c to the program's command, which reads $IN and writes
# $OUT, or standard output if that is empty; and $t to what drive is told.
IN=in OUT=out WRAP='' MORE=''
command_of() {
	o=${OUT:+-o $OUT}
	t=$o
	m='--threads 1 -m m'
	case $1 in
	gv-cat | gv-reward | gv-shuf | gv-view) c="$1 $o $IN" ;;
	gv-cut) c="$1 --drop targets $o $IN" ;;
	gv-decode) c="$1 --threads 1 -s 4 $o $IN" ;;
	gv-diff) c="$1 -v t.gv $IN" ;;
	gv-encode-vision) c="$1 $m --stage full $o $IN" ;;
	gv-model) c="$1 init $IN --tokenizer tok $o" t=${OUT:+-O $OUT} ;;
	gv-paste) c="$1 $o p.gv $IN" ;;
	gv-rollout) c="$1 $m --max-tokens 2 $o $IN" ;;
	gv-sample) c="$1 $m --max-tokens 2 --records $IN" t='' ;;
	gv-tokenize) c="$1 $m --decode $o $IN" ;;
	gv-train) c="$1 $m -q $o --train language=1 --steps 1 --batch 1 $IN"
		t=${OUT:+-O $OUT} ;;
	*) c="$1 $IN" t='' ;; # a new one just reads
	esac
	case $1$OUT in
	gv-model) c="$1 show m" ;;
	gv-train) c="$1 -m m --plan --train language=1 $IN" ;;
	esac
	[ "$OUT" = out ] || t=''
	case $1 in gv-diff) t='-e 2' ;; esac # its 1 is an answer
}

# drive PROG [OPTION...] MODE [ARG...]: drives that command, with $WRAP in
# front and $MORE at its end.
drive() {
	command_of "$1"
	shift
	# shellcheck disable=SC2086 # these are lists
	"$DRIVE" $t "$@" -- $WRAP $c $MORE
}
