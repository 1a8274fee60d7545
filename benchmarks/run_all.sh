#!/usr/bin/env bash
# All benchmarks, one at a time, each writing its page to benchmarks/results/: about 45 minutes on two cores.
#
#   benchmarks/run_all.sh            PYTHON names the interpreter, XR_SR_BENCH_ENV the peer's environment
#
# Close everything else first. A missed target does not stop the rest; the exit code is 1 if there was one.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
mkdir -p benchmarks/results

failed=()
step() {
    local name="$1"
    shift
    sync # what an earlier step wrote must not be written back during the next
    sleep 5
    printf '\n== %s  %s\n' "$(date -u +%H:%M:%S)" "$name"
    "$python" "benchmarks/$name.py" "$@" || failed+=("$name")
}

step peer_env
step import_time > >(tee benchmarks/results/import_time.md)
step against_peer --malloc-kept --write
step overhead --write
step kernel --write
step scaling --write
step store --write
step giant_chunk --write
step writers --write
step consistency --pictures --write
step consistency_bands --write
step trust --write
step floods --write
step against_opensr_test --large --write

printf '\n== %s  missed or failed: %s\n' "$(date -u +%H:%M:%S)" "${failed[*]:-none}"
[ "${#failed[@]}" -eq 0 ]
