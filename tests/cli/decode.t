#!/bin/sh
# gv-decode: pictures in, a stream out; nothing bad passes unnamed.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

G=$SRC/tests/golden/image
stat() { # FILE FILTER
	gv-stat --json "$1" | jq -rc "$2"
}

# ---- pixels and fields
ok "a picture" gv-decode -s 27x37 -o a.gv "$G/base-420.jpg"
is "kind, records" "$(stat a.gv '[.kind, .records, .bad]')" '["image",1,0]'
is "shapes" "$(stat a.gv '[.fields[] | [.name, .dtype, .shape]]')" \
	'[["image","U8",[[1,1],[27,27],[37,37],[3,3]]],["image_size","I32",[[1,1],[2,2]]]]'
is "provenance" "$(stat a.gv '.prog[0] | [.name, .args, .digests]')" \
	'["gv-decode",["--size","27x37","--fit","squash","--filter","bicubic"],{"preprocess":"27x37 squash bicubic"}]'
bad=0
while read -r name w h crc; do
	gv-decode -s "${h}x$w" --background none \
		"$G/$name" >one.gv || bad=$((bad + 1))
	# shellcheck disable=SC2016 # perl's variables
	perl -MCompress::Zlib -e 'undef $/; $_ = <STDIN>; my $n = 3 * shift;
		my $want = hex shift; my $i;
		for ($i = 0; $i + $n <= length; $i += 64) {
			exit 0 if crc32(substr($_, $i, $n)) == $want;
		} exit 1' $((w * h)) "$crc" <one.gv || bad=$((bad + 1))
done <"$G/decode.txt"
is "every golden picture's pixels are in its stream, at 64 bytes" $bad 0

# ---- kinds of input, threads, order
(cd "$G" && ls ./*.jpg ./*.png) | sed 's|^\./||' >names
i=0
while [ $i -lt 6 ]; do cat names; i=$((i + 1)); done >many
jq -Rc '{id: ., image: ., other: 1}' many >many.jsonl
# shellcheck disable=SC2046 # names have no spaces
ok "300 operands" gv-decode -s 33 --root "$G" --threads 1 -o 1.gv \
	$(cat many)
is "300 records" "$(stat 1.gv .records)" 300
for t in 2 3 16; do
	ok "JSON lines, $t threads" gv-decode -s 33 --root "$G" --threads $t \
		-o $t.gv many.jsonl
	ok "... the same bytes" cmp 1.gv $t.gv
done
ok "standard input" sh -c "gv-decode -s 33 --root '$G' <many.jsonl >in.gv"
ok "... the same bytes" cmp 1.gv in.gv
ok "'-' is standard input" \
	sh -c "gv-decode -s 33 --root '$G' - <many.jsonl | cmp - 1.gv"
cp many.jsonl many.txt
ok "--jsonl takes any name" \
	sh -c "gv-decode --jsonl -s 33 --root '$G' many.txt | cmp - 1.gv"
cat >some.jsonl <<EOF
{"id": "two", "image": ["$G/grey.jpg", "$G/rgb8.png"]}

{"id": 17, "image": null}
{"id": "none"}
{"id": "empty", "image": []}
{"id": "turned", "image": "$G/turned.jpg"}
EOF
ok "no, one and two pictures a record" gv-decode -s 5x9 -o n.gv some.jsonl
is "... shapes" "$(stat n.gv '[.records, .fields[0].shape[0]]')" '[5,[0,2]]'
is "... sizes before" "$(stat n.gv '.fields[1] | .min == 11 and .max == 37')" true
ok "an empty list" sh -c 'gv-decode -s 4 </dev/null | gv-stat --check'
for f in bicubic bilinear lanczos; do
	gv-decode -s 64 --filter $f "$G/filtered.png" >f-$f.gv
done
is "three filters give three pictures" \
	"$(cksum f-*.gv | cut -d' ' -f1 | sort -u | wc -l)" 3

# ---- a model's rule
mkdir m
cat >m/config.json <<'EOF'
{"model_type": "siglip_vision_model", "hidden_size": 32,
 "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
 "image_size": 24, "patch_size": 8}
EOF
cat >m/preprocessor_config.json <<'EOF'
{"size": {"height": 24, "width": 24}, "resample": 2, "do_resize": true}
EOF
ok "--model" gv-decode -m m -o m.gv "$G/rgb8.png"
is "... brings size and filter" "$(stat m.gv '.prog[0].digests.preprocess')" \
	"24x24 squash bilinear"
ok "... as options would" \
	sh -c "gv-decode -s 24 --filter bilinear --background none '$G/rgb8.png' | cmp - m.gv"

# ---- other forms of input, all against JSON lines
gv-decode -s 9 --root "$G" many.jsonl >want.gv
for t in 1 4; do
	ok "a list of paths, $t threads" sh -c "gv-decode --paths -s 9 \
		--root '$G' --threads $t many | cmp - want.gv"
	ok "... with NULs" sh -c "tr '\\n' '\\0' <many | gv-decode -0 -s 9 \
		--root '$G' --threads $t - | cmp - want.gv"
done
ok "... the last without one" sh -c "printf grey.jpg |
	gv-decode -0 -s 9 --root '$G' - | gv-stat --check"
jq -c '{id, picture: .image}' many.jsonl >field.jsonl
ok "--field" sh -c "gv-decode --field picture -s 9 --root '$G' field.jsonl |
	cmp - want.gv"
while read -r n; do
	case $n in *.png) type=png ;; *) type=jpeg ;; esac
	printf '{"id":"%s","image":"data:image/%s;base64,%s"}\n' "$n" $type \
		"$(base64 -w0 "$G/$n")"
done <many >urls.jsonl
ok "data URLs" sh -c "gv-decode -s 9 urls.jsonl | cmp - want.gv"
for u in data:image/png,abc 'data:;base64,@' 'data:;base64,AAAAA' \
	'data:;base64,AA=A' 'data:;base64,'; do
	echo "{\"id\": 1, \"image\": \"$u\"}" >l.jsonl
	must_fail 1 "$u" gv-decode -s 8 -o x.gv l.jsonl
done

# objects that hold pictures
pic() { # FORMAT: many.jsonl again, %p the path, %b the bytes
	while read -r n; do
		p=$(printf '%s' "$1" | sed "s|%p|$n|;s|%b|$(base64 -w0 "$G/$n")|")
		printf '{"id":"%s","image":%s}\n' "$n" "$p"
	done <many
}
for form in '{"path":"%p"}' '{"bytes":null,"path":"%p"}' '[{"url":"%p"}]' \
	'{"bytes":"%b","path":"elsewhere"}' '{"type":"image","image":"%p"}' \
	'{"url":"data:image/jpeg;base64,%b"}' \
	'[{"type":"image_url","image_url":{"url":"%p"}}]' \
	'{"type":"input_image","image_url":"%p"}' \
	'[{"role":"system","content":"grey.jpg"},{"role":"user","content":[{"type":"text","text":"grey.jpg"},"grey.jpg",{"type":"image","path":"%p"}]}]'; do
	pic "$form" >l.jsonl
	ok "$form" sh -c "gv-decode -s 9 --root '$G' l.jsonl | cmp - want.gv"
done
for bad in '{}' '{"type":"image"}' '{"path":""}' '{"path":1}' 7 true '""' \
	'[[[[[[[[["grey.jpg"]]]]]]]]]' '{"bytes":"@"}' '{"image":{"url":{}}}'; do
	echo "{\"id\": 1, \"image\": $bad}" >l.jsonl
	must_fail 1 "$bad" gv-decode -s 8 --root "$G" -o x.gv l.jsonl
done
for url in http://a/b.png HTTPS://a/b.png s3://a/b.png file:///a/b.png; do
	echo "{\"id\": 1, \"image\": \"$url\"}" >l.jsonl
	must_fail 1 "$url" gv-decode -s 8 -o x.gv l.jsonl
	is "... is named" "$(grep -c "'$url' is not fetched" .err)" 1
done
echo '{"id": 1, "image": null, "b": [1, "x"], "a": 2}
{"id": 2, "b": null}' >keep.jsonl
gv-decode -s 2 --keep b --keep a keep.jsonl >keep.gv
is "--keep carries keys along, as msgpack" "$(od -An -v -tx1 keep.gv |
	tr -d ' \n' | grep -o 'a16292\(01\|02\)a178a161..\|a162c0a161c0')" \
	"a1629201a178a16102
a162c0a161c0"
is "... as fields" "$(stat keep.gv '[.fields[].name]')" \
	'["image","image_size","b","a"]'
must_fail 1 "--keep image" gv-decode -s 2 --keep image keep.jsonl
gv-decode -s 2 --image-id "$G/grey.jpg" >id.gv
is "--image-id is the file's hash" \
	"$(strings -n 71 id.gv | grep -o 'sha256:[0-9a-f]*')" \
	"sha256:$(sha256sum <"$G/grey.jpg" | cut -d' ' -f1)"

# ---- tar files
mkdir -p tree/d
cp "$G/grey.jpg" tree/d/000.jpg
cp "$G/rgb8.png" tree/d/001.PNG
echo 'a caption' >tree/d/000.txt
echo '{"caption": "another", "n": 3}' >tree/d/001.json
cp "$G/cmyk.jpg" "tree/d/002.left.jpg"
cp "$G/grey.jpg" "tree/d/002.right.jpg"
long=$(printf 'long%.0s' $(seq 50))
cp "$G/grey.jpg" "tree/$long.jpg"
for f in ustar gnu pax; do
	l=$long.jpg
	[ $f = ustar ] && l=
	# shellcheck disable=SC2086 # nothing where there is none
	tar -C tree --format=$f --sort=name -cf $f.tar d $l
	ok "a $f archive" gv-decode -s 9 -o $f.out $f.tar
	is "... samples, pictures, text" "$(stat $f.out \
		'[.records, .fields[0].shape[0], [.fields[].name]]')" \
		"[$([ $f = ustar ] && echo 3 || echo 4),[1,2],[\"image\",\"image_size\",\"json\",\"txt\"]]"
	ok "... on standard input" \
		sh -c "gv-decode --tar -s 9 - <$f.tar | cmp - $f.out"
	ok "... in 4 threads" \
		sh -c "gv-decode -s 9 --threads 4 $f.tar | cmp - $f.out"
done
is "keys" "$(strings -n 3 pax.out | grep -c '^.*d/00[012]')" 3
ok "archives end to end" sh -c 'cat gnu.tar pax.tar |
	gv-decode --tar -s 9 - >two.gv'
is "... all records" "$(stat two.gv .records)" 8
ok "--field left.jpg" gv-decode -s 9 --field left.jpg -o left.gv ustar.tar
is "... one picture of three records" \
	"$(stat left.gv '[.records, .fields[0].shape[0]]')" '[3,[0,1]]'
is "--keep of a key in .json" "$(gv-decode -s 2 --keep caption ustar.tar |
	strings | grep -c another)" 1
n=$(wc -c <ustar.tar)
for c in 1 511 700 1536 $((n / 2)) $((n - 10240)); do
	head -c $c ustar.tar >cut.tar
	must_fail 1 "a tar file cut at $c of $n" gv-decode -s 8 -o x.gv cut.tar
done
gzip -c ustar.tar >packed.tar
must_fail 1 "a packed one" gv-decode -s 8 -o x.gv packed.tar
is "... names the program" "$(grep -c 'gzip -dc' .err)" 1
{ printf x; tail -c +2 ustar.tar; } >sum.tar
must_fail 1 "a wrong checksum" gv-decode -s 8 -o x.gv sum.tar
cp "$G/../image/grey.jpg" tree/d/003.webp
printf 'RIFFxxxxWEBPVP8 ' >tree/d/003.webp
tar -C tree -cf webp.tar d/003.webp
must_fail 1 "a WebP in a tar file" gv-decode -s 8 -o x.gv webp.tar
is "... is named, with what converts it" "$(cat .err)" \
	"gv-decode: record 0 'd/003', of 'webp.tar': 'webp': WebP is not read; convert it by \`dwebp IN -o OUT.png\`"

# ---- pictures end to end
while read -r n; do cat "$G/$n"; done <names >pipe
jq -Rc --slurp 'rtrimstr("\n") | split("\n") | to_entries[] |
	{id: "\(.key)", image: .value}' names >frames.jsonl
gv-decode -s 9 --root "$G" frames.jsonl >want.gv
ok "--pipe" sh -c 'gv-decode --pipe -s 9 <pipe | cmp - want.gv'
ok "... by the byte" sh -c 'dd bs=1 if=pipe 2>/dev/null |
	gv-decode --pipe -s 9 --threads 3 - | cmp - want.gv'
total=$(wc -l <names)
gv-decode --pipe --every 7 --frames 3 -s 9 pipe >clip.gv
jq -sc 'map(select((.id | tonumber) % 7 == 0)) | [range(0; length; 3) as $i |
	.[$i:$i+3]][] | {id: .[0].id, image: map(.image)}' \
	frames.jsonl >clips.jsonl
ok "--every, --frames" sh -c "gv-decode -s 9 --root '$G' clips.jsonl |
	cmp - clip.gv"
ok "... of $total pictures" test "$total" -gt 40
n=$(wc -c <pipe)
for c in 1 100 $((n - 1)); do
	head -c $c pipe >cut.pipe
	must_fail 1 "cut at $c of $n" gv-decode --pipe -s 8 -o x.gv cut.pipe
done
must_fail 1 "nothing of the kind" gv-decode --pipe -s 8 -o x.gv many.jsonl
must_fail 2 "--frames alone" gv-decode --frames 2 -s 8 a.jpg
must_fail 2 "two forms" gv-decode --tar --pipe -s 8 a.jpg

# ---- transparent pictures
for b in none white 255,255,255 black; do
	gv-decode -s 20 --background $b "$G/rgba16-i.png" >b-$b.gv
done
gv-decode -s 20 "$G/rgba16-i.png" >b.gv
is "what is behind them is recorded, if it isn't white" \
	"$(stat b.gv '.prog[0].args[6:]') $(stat b-none.gv \
	'.prog[0].args[6:]') $(stat b-black.gv '.prog[0].args[6:]')" \
	'[] ["--background","none"] ["--background","0,0,0"]'
ok "white is the background" cmp b.gv b-white.gv
ok "... whatever it is called" cmp b.gv b-255,255,255.gv
is "three backgrounds" "$(cksum b-white.gv b-black.gv b-none.gv |
	cut -d' ' -f1 | sort -u | wc -l)" 3
must_fail 2 "a background" gv-decode -s 8 --background blue a.jpg

# ---- bad pictures
: >empty.jpg
head -c 3000 /dev/urandom >noise.jpg
mkdir dir.jpg
for f in progressive.jpg base-420.jpg rgb8.png; do
	n=$(wc -c <"$G/$f")
	for c in 1 2 9 40 $((n / 2)) $((n - 2)) $((n - 1)); do
		head -c $c "$G/$f" >cut.img
		must_fail 1 "$f cut at $c of $n" gv-decode -s 8 -o x.gv cut.img
	done
done
must_fail 1 "an empty file" gv-decode -s 8 -o x.gv empty.jpg
must_fail 1 "noise" gv-decode -s 8 -o x.gv noise.jpg
must_fail 1 "a directory" gv-decode -s 8 -o x.gv dir.jpg
must_fail 1 "a missing file" gv-decode -s 8 -o x.gv missing.jpg
is "... says where and why" "$(cat .err)" \
	"gv-decode: record 0 'missing.jpg': 'missing.jpg': cannot open: No such file or directory"
must_fail 1 "a stream for a picture" gv-decode -s 8 -o x.gv a.gv
must_fail 1 "a missing list" gv-decode -s 8 -o x.gv missing.jsonl
must_fail 1 "a model without a vision part" gv-decode -m dir.jpg -o x.gv
for line in '{"id": "a", "image": 3}' '{"id": "a", "image": ["x", 3]}' \
	'{"id": "a", "image": ""}' '{"image": "x"}' '{"id": 1.5}' '[]' '{' \
	'{"id": "a", "id": "b"}' "{\"id\": \"$(printf %257s x)\"}"; do
	echo "$line" >l.jsonl
	must_fail 1 "a line $(echo "$line" | cut -c 1-40)" \
		gv-decode -s 8 -o x.gv l.jsonl
done
is "no output is left" "$(find . -name '*x.gv*')" ""

# ---- bad records that may pass
{
	sed -n 1,20p many.jsonl
	echo '{"id": "lost", "image": "lost.jpg"}'
	sed -n 21,40p many.jsonl
	echo 'no json'
	sed -n 41,60p many.jsonl
} >bad.jsonl
for t in 1 4; do
	ok "--max-errors 2, $t threads" sh -c "gv-decode -s 8 --root '$G' \
		--threads $t --max-errors 2 bad.jsonl >e$t.gv 2>e$t"
	is "... are counted" "$(stat e$t.gv '[.records, .bad]')" '[60,2]'
	must_fail 1 "--max-errors 1 stops" sh -c "gv-decode -s 8 --root '$G' \
		--threads $t --max-errors 1 -o x.gv bad.jsonl 2>all; rc=\$?
		tail -1 all >&2; exit \$rc"
	is "... at the second" "$(cut -d: -f1-3 .err)" \
		"gv-decode: record 41 '', line 42 of 'bad.jsonl': not valid JSON"
done
ok "the same stream from 1 and 4 threads" cmp e1.gv e4.gv
ok "... and the same messages" cmp e1 e4
is "... that name the record" "$(head -1 e1)" \
	"gv-decode: record 20 'lost', line 21 of 'bad.jsonl': '$G/lost.jpg': cannot open: No such file or directory"

# ---- limits, at the limit and one over it
P=$G/progressive.jpg
ok "--max-pixels 999" sh -c "gv-decode -s 8 --max-pixels 999 '$P' >x"
must_fail 1 "--max-pixels 998" gv-decode -s 8 --max-pixels 998 "$P"
ok "--max-side 37" sh -c "gv-decode -s 8 --max-side 37 '$P' >x"
must_fail 1 "--max-side 36" gv-decode -s 8 --max-side 36 "$P"
ok "--max-scans 10" sh -c "gv-decode -s 8 --max-scans 10 '$P' >x"
must_fail 1 "--max-scans 9" gv-decode -s 8 --max-scans 9 "$P"
head -c -100 "$P" >cut.jpg
ok "--max-seconds 1" sh -c "gv-decode -s 8 --max-seconds 1 '$P' >x"
ok "--stats" sh -c "gv-decode -s 8 --stats '$P' 2>stats >x"
is "... pictures and shares" "$(grep -cE \
	'^gv-decode: 1 pictures .* reading [0-9]+ %, decoding [0-9]+ %, resiz' stats)" 1
must_fail 1 "a cut picture" gv-decode -s 8 cut.jpg
ok "... with --lenient" sh -c "gv-decode -s 8 --lenient cut.jpg >l.gv"
is "... which is recorded" "$(stat l.gv '.prog[0].args[-1]')" "--lenient"
jq -nc --arg p "$G/grey.jpg" '{id: "big", image: [range(1400) | $p]}' >big.jsonl
must_fail 1 "a record of more than 1 GiB" \
	gv-decode -s 512 -o x.gv big.jsonl

# ---- the command line and the output
must_fail 2 "no size" gv-decode a.jpg
must_fail 2 "size and model" gv-decode -s 8 -m m a.jpg
must_fail 2 "filter and model" gv-decode --filter lanczos -m m a.jpg
for s in 0 64x x64 64x64x 16385 -5 64x-1 6.5 64x0 1e2 99999999999999999999; do
	must_fail 2 "--size=$s" gv-decode --size=$s a.jpg
done
# ---- other proportions
ok "crop" gv-decode -s 24 --fit crop --filter lanczos -o crop.gv "$G/base-420.jpg"
is "its provenance" "$(stat crop.gv '.prog[0] | [.args, .digests]')" \
	'[["--size","24x24","--fit","crop","--filter","lanczos"],{"preprocess":"24x24 crop lanczos"}]'
ok "pad" gv-decode -s 24 --fit pad --fill 1,2,3 -o pad.gv "$G/base-420.jpg"
is "its provenance" "$(stat pad.gv '.prog[0] | [.args, .digests]')" \
	'[["--size","24x24","--fit","pad","--filter","bicubic","--fill","1,2,3"],{"preprocess":"24x24 pad 1 2 3 bicubic"}]'
is "what pads is the colour" \
	"$(gv-cat pad.gv | od -An -v -tu1 | tr -s ' \n' ' ' | grep -c '1 2 3 1 2 3 1 2 3')" 1

# ---- quicker
ok "an eighth of a picture at most" gv-decode -s 3 --fast -o fast.gv \
	"$G/base-420.jpg"
is "its provenance" "$(stat fast.gv '.prog[0] | [.args[6:], .digests]')" \
	'[["--fast"],{"preprocess":"3x3 squash bicubic fast"}]'
is "the size is the file's" \
	"$(stat fast.gv '.fields[1] | [.min, .max]')" '[27,37]'
is "a PNG is the same whatever is asked for" \
	"$(gv-decode -s 3 "$G/rgb8.png" | gv-stat --json | jq -c .fields)" \
	"$(gv-decode -s 3 --fast "$G/rgb8.png" | gv-stat --json | jq -c .fields)"
must_fail 2 "--fast with tiles" gv-decode -s 8 --fit tile --fast "$P"

# ---- tiles
mkdir smol
cp "$SRC"/tests/golden/family/smolvlm/* smol
jq '.do_image_splitting = true | .size.longest_edge = 48' \
	"$SRC/tests/golden/family/smolvlm/preprocessor_config.json" \
	>smol/preprocessor_config.json
ok "tiles as a model wants them" gv-decode -m smol --fit tile -o tiles.gv \
	"$G/base-420.jpg" "$G/one.jpg"
is "their provenance" "$(stat tiles.gv '.prog[0] | [.args[2:8], .digests]')" \
	'[["--fit","tile","--filter","lanczos","--longest","48"],{"preprocess":"24x24 tile lanczos of 48"}]'
is "the same by options" "$(gv-decode -s 24 --fit tile --filter lanczos \
	--longest 48 --background none "$G/base-420.jpg" "$G/one.jpg" |
	cmp - tiles.gv && echo yes)" yes
printf '{"id": 1, "image": ["base-420.jpg", "one.jpg"]}\n{"id": 2}\n' >l.jsonl
ok "two pictures of a record" gv-decode -m smol --fit tile --root "$G" \
	-o two.gv l.jsonl
is "have a size each and all their tiles" "$(gv-stat two.gv | sed -n \
	's/^  \([a-z_]*\) *[A-Z0-9]* *(\(.*\)) .*/\1 \2/p')" "image 0-10,24,24,3
image_size 0-2,2
tiles 0-2,2"
ok "an encoder takes them, since its processor would make them" sh -c \
	"gv-encode-vision -q --stage full -m smol -o e.gv two.gv"
is "and keeps what belongs to them" "$(stat e.gv '[.fields[].name]')" \
	'["image_size","tiles","embeds"]'
gv-decode -s 24 --fit tile --longest 72 --filter lanczos "$P" >t72.gv
must_fail 1 "not tiles by another rule" \
	gv-encode-vision -q --stage full -m smol -o x.gv t72.gv
must_fail 1 "a model without tiles" gv-decode --fit tile \
	-m "$SRC/tests/golden/family/llava" "$P"
must_fail 2 "a model and grids" gv-decode --fit tile --grids 2x2 -m smol "$P"
must_fail 2 "grids without tiles" gv-decode -s 8 --grids 2x2 "$P"
must_fail 2 "grids that are none" gv-decode -s 8 --fit tile --grids 2 "$P"
must_fail 1 "too many tiles" gv-decode -s 8 --fit tile --longest 4096 "$P"

must_fail 2 "crop to what is no square" gv-decode -s 8x9 --fit crop a.jpg
must_fail 2 "a colour and no padding" gv-decode -s 8 --fill 1,2,3 a.jpg
must_fail 2 "a colour of two numbers" gv-decode -s 8 --fit pad --fill 1,2 a.jpg
must_fail 2 "a colour too bright" gv-decode -s 8 --fit pad --fill 1,2,256 a.jpg
must_fail 2 "a colour and more" gv-decode -s 8 --fit pad --fill 1,2,3x a.jpg
must_fail 2 "--fit letterbox" gv-decode -s 8 --fit letterbox a.jpg
must_fail 2 "--filter mitchell" gv-decode -s 8 --filter mitchell a.jpg
must_fail 2 "--max-pixels 0" gv-decode -s 8 --max-pixels 0 a.jpg
must_fail 2 "an unknown option" gv-decode -s 8 --no-such a.jpg

# ---- containment, as far as this kernel has it
said=$(gv-decode -v -s 8 "$P" 2>&1 >x.gv | grep sandbox)
note "$said"
case $said in
*filtered*ruled*)
	ok "--require-sandbox" gv-decode --require-sandbox -s 8 -o y.gv "$P"
	ok "... the same bytes" cmp x.gv y.gv
	;;
*) must_fail 1 "--require-sandbox" gv-decode --require-sandbox -s 8 "$P" ;;
esac
mkfifo later
gv-decode -s 8 --threads 3 -o y.gv --paths later &
exec 3>later
case $said in *filtered*) want=2 ;; *) want=0 ;; esac
i=0
while [ $i -lt 100 ] && ! grep -qs "^Seccomp:.$want" /proc/$!/status; do
	i=$((i + 1))
	sleep .1
done
is "every thread is under it" "$(sed -n 's/^Seccomp:.//p' /proc/$!/task/*/status |
	sort -u)" $want
echo "$P" >&3
exec 3>&-
wait $!
ok "and ends well" gv-stat --check y.gv

must_fail 1 "a full output" sh -c "gv-decode -s 64 '$P' >/dev/full"
must_fail 1 "a closed output" sh -c "gv-decode -s 64 '$P' >&-"
{ gv-decode -s 512 --root "$G" many.jsonl 2>e; echo $? >rc; } | head -c 99 >x
is "a reader that goes away: death by SIGPIPE, in silence" \
	"$(cat rc) $(cat e)" "141 "
unread names gv-decode -s 33 --root "$G" --paths -

mkfifo slow
for t in 1 3; do
	gv-decode -s 33 --root "$G" --paths --threads $t slow >came &
	exec 3>slow
	echo rgb8.png >&3
	i=0
	until [ "$(wc -c <came)" -gt $((33 * 33 * 3)) ] || [ $i -eq 100 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	ok "a record is written while its list rests, $t threads" test $i -lt 100
	exec 3>&-
	wait
	ok "... and the end" gv-stat --check came
done
finish
