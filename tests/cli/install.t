#!/bin/sh
# make install: everything in its place, and a program that uses it from there.
. "$(dirname "$0")/tap.sh"

ok 'make install' make -C "$SRC" B="$B" --no-print-directory install \
    DESTDIR="$T/root" PREFIX=/usr
R=$T/root/usr
for p in "$B"/bin/gv-*; do
	case $p in *.*) continue ;; esac
	ok "${p##*/} is there" test -x "$R/bin/${p##*/}"
done
is 'all manual pages are there' \
    "$(find "$R/share/man" -type f | wc -l)" \
    "$(find "$SRC/man" -type f | wc -l)"
export PKG_CONFIG_PATH="$R/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$T/root"
is 'pkg-config knows the version' "$(pkg-config --modversion libgv)" \
    "$(sed -n 's/^#define GV_VERSION "\(.*\)"/\1/p' "$SRC/lib/version.h")"
cat >use.c <<'E'
#include <gv/stream.h>
#include <gv/model.h>

#include <stdio.h>

int
main(void)
{
	struct gv_error e = {0};
	struct gv_reader *r;
	struct gvk *k;

	if (gv_backend_open(&k, "cpu", 1, &e) ||
	    !gv_reader_open(&r, "/nonexistent", &e))
		return 1;
	puts(e.msg);
	gvk_close(&k);
	return 0;
}
E
# shellcheck disable=SC2046 # flags split
ok 'a program compiles against it' cc -std=c11 -I"$R/include" -o use use.c \
    $(pkg-config --cflags --libs --static libgv)
is 'and runs' "$(./use)" \
    "cannot read '/nonexistent': No such file or directory"
finish
