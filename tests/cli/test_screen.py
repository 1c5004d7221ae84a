"""`dpsynth screen` where something is amiss."""

from __future__ import annotations


def test_without_a_model_it_says_what_to_do(dpsynth, home, tmp_path):
    (tmp_path / "lines.txt").write_text("some text\n")
    for arguments, says in (
        (("screen", tmp_path / "lines.txt"), "no exported safety classifier"),
        (("screen", tmp_path / "lines.txt", "--model", tmp_path), "manifest.json is missing"),
    ):
        code, _, err = dpsynth(*arguments)
        assert code == 2, err
        assert err.startswith("error: ")
        assert says in err
