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
