from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from xr_sr.io.zarr.owner import Owner


def test_this_process_is_seen_to_run():
    owner = Owner.this_call(tasks_inside=True)

    assert owner.is_here and owner.is_this_process and owner.is_running
    assert Owner.from_document(asdict(owner)) == owner


def test_a_process_that_ended_is_seen_to_be_gone_also_before_its_parent_asks():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    script = "from xr_sr.io.zarr.owner import _started; import sys; print(_started(int(sys.argv[1])))"
    started = subprocess.run([sys.executable, "-c", script, str(child.pid)], capture_output=True, text=True, check=True)
    owner = replace(Owner.this_call(tasks_inside=True), pid=child.pid, started=started.stdout.strip())
    assert owner.is_running and not owner.is_this_process

    child.kill()
    while owner.is_running:  # it becomes a zombie, as nobody waits for it
        pass
    assert child.wait() != 0

    assert not owner.is_running


@pytest.mark.parametrize("change", [{"started": "1"}, {"pid": 2**22 + 1}])
def test_another_process_with_its_number_does_not_count(change):
    assert not replace(Owner.this_call(tasks_inside=True), **change).is_running


def test_processes_of_another_machine_are_not_seen():
    assert not replace(Owner.this_call(tasks_inside=True), machine="another").is_here


@pytest.mark.parametrize("document", [{}, {"pid": "12", "id": 3, "machine": None}])
def test_what_is_no_owner_is_nobody_in_particular(document):
    owner = Owner.from_document(document)

    assert owner.label == "an unknown process"
    assert not owner.is_here and not owner.is_this_process
