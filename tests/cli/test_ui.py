"""`dpsynth ui` where it cannot begin."""

from __future__ import annotations

import socket

import pytest

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.ui import require_free


def test_a_port_that_is_taken_is_told_before_anything_is_started(dpsynth, home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, err = dpsynth("ui", "--port", port)
        assert code == 2
        said = " ".join(err.split())
        assert f"port {port} of 127.0.0.1 cannot be used: another program listens there" in said
        assert "--port 3001" in said
        assert "token" not in out
    require_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_told_too():
    with pytest.raises(BadInput, match="cannot be used"):
        require_free("192.0.2.1", 3000)


def test_a_workspace_that_is_not_there_is_told_before_anything_is_started(dpsynth, home, tmp_path):
    code, out, err = dpsynth("ui", "--workspace", tmp_path / "nowhere.yaml")
    assert (code, "there is no such file" in err, "token" in out) == (2, True, False)
