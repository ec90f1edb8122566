#!/usr/bin/env bash
# Builds the simulator with AddressSanitizer and UBSan into build/sanitize and runs the tests that drive it hardest.
# usage: scripts/sanitize.sh PYTHON
set -euo pipefail
python=$1
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
cmake -S "$root" -B "$build" -G Ninja -DWEFT_SANITIZE=ON -DPython_EXECUTABLE="$(command -v "$python")" >/dev/null
cmake --build "$build"

# A copy of the package with the instrumented extension takes the place of the installed one.
rm -rf "$build/packages"
mkdir -p "$build/packages"
cp -r "$root/hw_sim/weft_sim" "$build/packages/weft_sim"
rm -f "$build"/packages/weft_sim/_core*.so
cp "$build"/_core*.so "$build/packages/weft_sim/"

export LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONPATH="$build/packages:$root/sdk:$root/runtime"
"$python" -c 'import weft_sim, sys; assert "sanitize" in weft_sim.__file__, weft_sim.__file__'
"$python" -m pytest -p no:cacheprovider "$root/tests/sim" "$root/tests/fuzz"
