#!/bin/sh
# One table of records from many machines, for `make merged`: merged.sh PYTHON RECORDS OUT
#
# Every .jsonl file below RECORDS is judged again, by what this tree knows, and compared with all others. OUT gets the
# table, the verdicts as JUnit XML, and the records. The exit code is that of `lab verify`.
set -eu
python=$1
records=$2
out=$3
found=$(find "$records" -name '*.jsonl' 2>/dev/null | LC_ALL=C sort)
[ -n "$found" ] || {
    echo "merged: no .jsonl file below $records; \`lab verify --out $records\` makes one" >&2
    exit 2
}

set --
while IFS= read -r file; do # a name may have a space
    set -- "$@" --target "recorded:$file"
done <<END
$found
END

mkdir -p "$out"
code=0
"$python" -m lab verify "$@" --out "$out/records" --junit "$out/verdicts.xml" >"$out/table.txt" || code=$?
cat "$out/table.txt"
exit $code
