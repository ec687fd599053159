# Compile CPython in /src/python and zlib in /src/zlib against musl, and install them into /out.
# lab/harness/images/debian/musl.py runs this in a container with Debian's gcc, make and musl-tools, without a network.
set -eu
trap '[ $? = 0 ] || tail -n 1 /tmp/log' EXIT
: > /tmp/log

# musl-gcc finds musl's headers only. The kernel's headers are the same for every libc, so link them in.
mkdir -p /usr/include/x86_64-linux-musl /usr/local/bin
for each in linux asm-generic; do ln -sf /usr/include/$each /usr/include/x86_64-linux-musl/$each; done
ln -sf /usr/include/x86_64-linux-gnu/asm /usr/include/x86_64-linux-musl/asm

# Debian's gcc reports that it compiles for -gnu, even with musl's specs, and configure stops at the contradiction.
cat > /usr/local/bin/mcc << 'END'
#!/bin/sh
case "$*" in *--print-multiarch*) echo x86_64-linux-musl; exit 0 ;; esac
exec musl-gcc "$@"
END
chmod +x /usr/local/bin/mcc

echo "compiling zlib"
cd /src/zlib
CC=mcc CFLAGS="-O2 -fPIC" ./configure --static --prefix=/opt/musl > /tmp/log 2>&1 # PIC: it ends up in zlib.so
make -j"$(nproc)" install >> /tmp/log 2>&1

echo "configuring CPython"
cd /src/python
CC=mcc CFLAGS=-O1 CPPFLAGS=-I/opt/musl/include ZLIB_CFLAGS=-I/opt/musl/include ZLIB_LIBS=/opt/musl/lib/libz.a \
    ./configure --prefix=/usr/local --disable-test-modules --without-ensurepip --without-static-libpython \
    --without-doc-strings > /tmp/log 2>&1
echo "compiling CPython"
make -j"$(nproc)" > /tmp/log 2>&1

echo "installing"
make install DESTDIR=/out > /tmp/log 2>&1
cd /out/usr/local
rm -rf share include lib/pkgconfig lib/python3.*/config-* lib/python3.*/idlelib lib/python3.*/turtledemo \
    lib/python3.*/tkinter lib/python3.*/pydoc_data
find . -name __pycache__ -prune -exec rm -rf {} +
strip bin/python3.[0-9]* lib/python3.*/lib-dynload/*.so 2> /dev/null || true # python3.X-config is a script
mkdir -p /out/usr/lib
cp /usr/lib/x86_64-linux-musl/libc.so /out/usr/lib/ld-musl-x86_64.so.1
