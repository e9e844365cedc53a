#!/bin/sh
# Everything that is to be known of streamd on a GPU, in one run of at most ten minutes. See README.md beside this.
#
#   tests/gpu/check.sh [--wheels DIR]... [--python PROGRAM] [options of check.py: --models --demo --out --budget-s]
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${TMPDIR:-/tmp}/streamd-gpu
python= wheels= rest=

while [ $# -gt 0 ]; do
    case $1 in
        --wheels) wheels="$wheels $2"; shift 2 ;;
        --python) python=$2; shift 2 ;;
        *) rest="$rest $1"; shift ;;
    esac
done

if [ -z "$python" ]; then
    for candidate in "$root/.venv/bin/python" python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
[ -n "$python" ] || { echo "check.sh: no Python 3.11 or later" >&2; exit 69; }

if [ -n "$wheels" ]; then
    mkdir -p "$work/wheels"
    for folder in $wheels; do
        for file in "$folder"/*.whl; do
            [ -e "$file" ] && cp "$file" "$work/wheels/"
        done
        # A wheel too large to be carried at once comes as NAME.whl.part-aa, NAME.whl.part-ab ... (split -b).
        for first in "$folder"/*.whl.part-aa; do
            [ -e "$first" ] || continue
            name=$(basename "${first%.part-aa}")
            : >"$work/wheels/$name"
            for part in $(for f in $wheels; do ls "$f/$name".part-* 2>/dev/null; done | sed 's,^\(.*\)/\([^/]*\)$,\2 \1/\2,' |
                sort | cut -d' ' -f2-); do
                cat "$part" >>"$work/wheels/$name"
            done
        done
    done
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$work/site" \
        "$work"/wheels/*.whl || echo "check.sh: not every wheel could be installed" >&2
    PYTHONPATH=$work/site${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
elif ! "$python" -c 'import onnxruntime, zmq, av, cv2' 2>/dev/null; then
    echo "check.sh: $python lacks packages: make install ACCEL=gpu" >&2
    make -C "$root" install ACCEL=gpu && python=$root/.venv/bin/python
fi

# shellcheck disable=SC2086  # words
PYTHONPATH=$root:$root/tests${PYTHONPATH:+:$PYTHONPATH} exec "$python" "$root/tests/gpu/check.py" $rest
