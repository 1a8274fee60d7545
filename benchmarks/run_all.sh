#!/usr/bin/env bash
# All benchmarks and studies, one at a time; each writes its page to results/ beside it: about 45 minutes on two cores.
#
#   benchmarks/run_all.sh            PYTHON is the interpreter, XR_SR_BENCH_ENV the environment of the peer
#
# Close everything else first. A missed target does not stop the rest; the exit code is 1 if there was one.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
mkdir -p benchmarks/results

failed=()
step() { # package.module, options
    local name="$1"
    shift
    sync # so that the output of an earlier step is not written back during the next
    sleep 5
    printf '\n== %s  %s\n' "$(date -u +%H:%M:%S)" "$name"
    "$python" -m "$name" "$@" || failed+=("$name")
}

step benchmarks.peer_env
step benchmarks.import_time > >(tee benchmarks/results/import_time.md)
step benchmarks.against_peer --malloc-kept --write
step benchmarks.kriging_speed --write
step benchmarks.interval_cost --write
step benchmarks.multiframe --write
step benchmarks.ldsr_speed --write
step benchmarks.overhead --write
step benchmarks.kernel --write
step benchmarks.scaling --write
step benchmarks.plans --write
step benchmarks.store --write
step benchmarks.giant_chunk --write
step benchmarks.writers --write
step studies.consistency --pictures --write
step studies.consistency_bands --write
step studies.phases --write
step studies.trust --write
step studies.multiframe --write
step studies.diffusion --write
step studies.seams --write
step studies.floods --write
step benchmarks.against_opensr_test --large --write

printf '\n== %s  missed or failed: %s\n' "$(date -u +%H:%M:%S)" "${failed[*]:-none}"
[ "${#failed[@]}" -eq 0 ]
