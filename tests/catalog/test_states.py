"""Files of weights that are refused: one sentence, and never the advice to load them unsafely."""

from __future__ import annotations

import io
import pathlib
import pickle

import pytest
import torch

from xr_sr.catalog.states import read_tensors, why_refused
from xr_sr.errors import WeightsFormatError
from xr_sr.kernels.predictors import read_state


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def program() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), file)
    return file.getvalue()


REFUSED = {
    "a path": (saved({"state_dict": pathlib.PurePosixPath("x")}), "it holds pathlib.PurePosixPath, and only tensors"),
    "a function": (saved({"a": print}), "it holds print, and only tensors"),
    "another pickle": (pickle.dumps({1: 2}), "it holds more than tensors"),
    "a program": (program(), "it is a TorchScript program; save its tensors"),
    "cut short": (saved({"a": torch.ones(3)})[:200], "PytorchStreamReader failed reading zip archive"),
    "nothing": (b"", "EOFError"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_refused_file_is_one_sentence_without_unsafe_advice(name, tmp_path):
    data, said = REFUSED[name]
    path = tmp_path / "mine.pt"
    path.write_bytes(data)

    with pytest.raises(WeightsFormatError) as caught:
        read_state(path, "")

    text = str(caught.value)
    assert said in text
    assert "weights_only" not in text and "torch.load" not in text and "jit.load" not in text and "\x1b" not in text
    assert "\n" not in text and len(text) < 500
    assert caught.value.__suppress_context__  # the traceback does not print torch's advice either


def test_tensors_are_read_by_either_format():
    from safetensors.torch import save

    assert torch.equal(read_tensors(saved({"a": torch.ones(2)}), ".pt")["a"], torch.ones(2))
    assert torch.equal(read_tensors(save({"a": torch.ones(2)}), ".safetensors")["a"], torch.ones(2))


def test_codes_for_terminals_are_taken_off():
    assert why_refused(RuntimeError("\x1b[1mbroken\x1b[0m. More.\nAnd more.")) == "broken"
